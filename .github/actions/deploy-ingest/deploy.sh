#!/usr/bin/env bash
# Runs the deployment of the repository that this action is a part of, with the registry of the one that uses it.
set -euo pipefail

for name in HOST_NAME CERTIFICATE_ARN ALARM_EMAIL AWS_REGION; do
  if [ -z "${!name:-}" ]; then
    variable=$name
    if [ "$name" != AWS_REGION ]; then variable="ABACULUS_$name"; fi
    echo "::error title=Not set up yet::set the variable $variable under Settings > Secrets and variables > Actions" \
      "($GITHUB_SERVER_URL/$GITHUB_REPOSITORY/settings/variables/actions)"
    exit 1
  fi
done
# As `abaculus` itself looks for it.
applications=$PWD/applications
if [ -d "$PWD/ingest/applications" ]; then applications=$PWD/ingest/applications; fi
export APPLICATIONS=$applications REPOSITORY=$GITHUB_REPOSITORY
"$(dirname "$0")/../../../ingest/deploy/aws/deploy.sh"
