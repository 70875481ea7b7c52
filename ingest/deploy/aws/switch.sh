#!/usr/bin/env bash
# Switches the ingest function off, or on again. While it is off, AWS answers every request with 429, which costs
# nothing, and clients keep their sessions.
#
#     STACK=abaculus ingest/deploy/aws/switch.sh off
#
# It stays off until you switch it on, even after deployments.
set -euo pipefail
cd "$(dirname "$0")/../../.."
case "${1:-}" in on | off) ;; *) echo "say on or off: $0 off" >&2 && exit 2 ;; esac
stack=${STACK:-abaculus}
aws cloudformation deploy --stack-name "$stack" --template-file ingest/deploy/aws/template.yaml \
  --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides "Switch=$1"
echo "the ingest function of the stack $stack is $1"
