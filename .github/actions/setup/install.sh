#!/usr/bin/env bash
# Installs Abaculus, from the repository that this action is a part of, into an environment of its own.
set -euo pipefail
here=$(dirname "$0")

uv venv --quiet --clear "$RUNNER_TEMP/abaculus"
export VIRTUAL_ENV="$RUNNER_TEMP/abaculus"
lock=requirements.txt
if [ "${ABACULUS_ENGINE:-}" = spark ]; then lock=spark.txt; fi # the same, and what asks a cluster
uv pip install --quiet --require-hashes -r "$here/$lock"
uv pip install --quiet --no-deps --no-build-isolation "$here/../../.."
echo "$RUNNER_TEMP/abaculus/bin" >> "$GITHUB_PATH"
