#!/usr/bin/env bash
# Runs the deployment of the repository that this action is a part of, with the registry of the one that uses it.
set -euo pipefail

# As `abaculus` itself looks for it.
applications=$PWD/applications
if [ -d "$PWD/ingest/applications" ]; then applications=$PWD/ingest/applications; fi
export APPLICATIONS=$applications ONLY_CODE=yes
"$(dirname "$0")/../../../ingest/deploy/aws/deploy.sh"
