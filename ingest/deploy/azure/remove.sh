#!/usr/bin/env bash
# Removes everything that deploy.sh created. The storage account with your data stays, unless DELETE_DATA=yes.
set -euo pipefail
: "${ACCOUNT:?the name of the storage account}"
group=${GROUP:-abaculus}
if [ "${DELETE_DATA:-no}" = yes ]; then
  az group delete --name "$group" --yes
  exit
fi
az containerapp delete --name abaculus-ingest --resource-group "$group" --yes
az containerapp env delete --name abaculus --resource-group "$group" --yes
az identity delete --name abaculus-ingest --resource-group "$group"
az acr delete --name "${ACCOUNT}acr" --resource-group "$group" --yes
for alert in latency errors free-tier flood; do
  az monitor metrics alert delete --name "abaculus-$alert" --resource-group "$group"
done
for alert in refusals failures; do
  az monitor scheduled-query delete --name "abaculus-$alert" --resource-group "$group" --yes
done
az monitor log-analytics workspace delete --workspace-name abaculus --resource-group "$group" --yes
az monitor action-group delete --name abaculus --resource-group "$group"
echo "kept the storage account $ACCOUNT; delete everything with DELETE_DATA=yes"
