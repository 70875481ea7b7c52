#!/usr/bin/env bash
# Installs Abaculus, from the repository that this action is a part of, into an environment of its own.
set -euo pipefail
here=$(dirname "$0")

uv venv --quiet --clear "$RUNNER_TEMP/abaculus"
export VIRTUAL_ENV="$RUNNER_TEMP/abaculus"
uv pip install --quiet --require-hashes -r "$here/requirements.txt"
uv pip install --quiet --no-deps --no-build-isolation "$here/../../.."
echo "$RUNNER_TEMP/abaculus/bin" >> "$GITHUB_PATH"
