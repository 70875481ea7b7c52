#!/usr/bin/env bash
# Runs the deployment script of this action's repository, with the registry of the repository that calls it.
set -euo pipefail

# The same places as in `abaculus` itself.
applications=$PWD/applications
if [ -d "$PWD/ingest/applications" ]; then applications=$PWD/ingest/applications; fi
export APPLICATIONS=$applications ONLY_CODE=yes
"$(dirname "$0")/../../../ingest/deploy/aws/deploy.sh"
