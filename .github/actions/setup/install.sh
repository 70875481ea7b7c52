#!/usr/bin/env bash
# Installs Abaculus from this action's repository into an environment of its own.
set -euo pipefail
source=$(cd "$(dirname "$0")/../../.." && pwd)

uv venv --quiet --clear "$RUNNER_TEMP/abaculus"
export VIRTUAL_ENV="$RUNNER_TEMP/abaculus"
# Nothing is resolved again, because the lock lists everything, including the tools that build packages.
uv pip install --quiet --no-deps --require-hashes -r "$source/requirements.txt"
if [ "${ABACULUS_ENGINE:-}" = spark ]; then # what asks a cluster
  uv pip install --quiet --no-deps --no-build-isolation --require-hashes -r "$source/requirements-spark.txt"
fi
uv pip install --quiet --no-deps --no-build-isolation "$source"
uv pip check --quiet
# The commit that the workflow names contains the script that draws charts, so npm is not needed.
echo "charts load $(sed -n 's/^\* \(plotly.js .*\)/\1/p' "$source/reports/assets/plotly-cartesian.min.js")"
echo "$RUNNER_TEMP/abaculus/bin" >> "$GITHUB_PATH"
