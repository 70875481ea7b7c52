#!/usr/bin/env bash
# Switches the ingest function off, or on again. While it is off, Azure answers every request with 403 before it reaches
# the function, and clients keep their sessions.
#
#     ingest/deploy/azure/switch.sh off
set -euo pipefail
group=${GROUP:-abaculus}
rule=(az containerapp ingress access-restriction)
app=(--name abaculus-ingest --resource-group "$group" --rule-name off --output none)
case "${1:-}" in
  off) "${rule[@]}" set "${app[@]}" --ip-address 0.0.0.0/0 --action Deny ;;
  on) "${rule[@]}" remove "${app[@]}" ;;
  *) echo "say on or off: $0 off" >&2 && exit 2 ;;
esac
echo "the ingest function of the group $group is $1"
