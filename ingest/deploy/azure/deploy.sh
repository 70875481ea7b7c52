#!/usr/bin/env bash
# Deploys or updates the ingest function on Azure Container Apps. Run it again after a change of the registry.
#
#     ACCOUNT=mytooltelemetry HOST_NAME=telemetry.my-tool.dev ALARM_EMAIL=me@my-tool.dev ingest/deploy/azure/deploy.sh
#
# Needs az, signed in. ACCOUNT is the new storage account's name. The tests of this project do not run it against Azure.
set -euo pipefail
cd "$(dirname "$0")/../../.."

: "${ACCOUNT:?the name of the storage account to make: 3 to 24 lower-case letters and digits}"
: "${HOST_NAME:?the host name that you own, such as telemetry.my-tool.dev}"
: "${ALARM_EMAIL:?where alarms go}"
group=${GROUP:-abaculus}
location=${LOCATION:-westeurope}
registry="${ACCOUNT}acr"
image="ingest:$(git rev-parse --short HEAD)"

az group create --name "$group" --location "$location" --output none
az storage account create --name "$ACCOUNT" --resource-group "$group" --sku Standard_LRS --kind StorageV2 \
  --allow-blob-public-access false --allow-shared-key-access false --min-tls-version TLS1_2 --output none
# Versioning and soft delete are off, so that deletions are final.
az storage account blob-service-properties update --account-name "$ACCOUNT" --resource-group "$group" \
  --enable-versioning false --enable-delete-retention false --enable-container-delete-retention false --output none
az storage account management-policy create --account-name "$ACCOUNT" --resource-group "$group" \
  --policy @ingest/deploy/azure/lifecycle.json --output none
az storage container-rm create --storage-account "$ACCOUNT" --resource-group "$group" --name abaculus --output none

az acr create --name "$registry" --resource-group "$group" --sku Basic --output none
az acr build --registry "$registry" --image "$image" --file ingest/deploy/Containerfile .

az identity create --name abaculus-ingest --resource-group "$group" --output none
identity=$(az identity show --name abaculus-ingest --resource-group "$group" --query id --output tsv)
principal=$(az identity show --name abaculus-ingest --resource-group "$group" --query principalId --output tsv)
client=$(az identity show --name abaculus-ingest --resource-group "$group" --query clientId --output tsv)
container=$(az storage container-rm show --storage-account "$ACCOUNT" --resource-group "$group" --name abaculus --query id --output tsv)
# "add" creates new blobs. Without "write", it cannot overwrite, and it cannot read, list or delete.
az role definition create --output none --role-definition "{
  \"Name\": \"Abaculus ingest ($ACCOUNT)\", \"Description\": \"Creates blobs\", \"AssignableScopes\": [\"$container\"],
  \"DataActions\": [\"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action\"]}" || true
az role assignment create --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal \
  --role "Abaculus ingest ($ACCOUNT)" --scope "$container" --output none
az role assignment create --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal \
  --role AcrPull --scope "$(az acr show --name "$registry" --query id --output tsv)" --output none

# At most 0.1 GB of log lines a day, because in a flood they would cost more than everything else.
az monitor log-analytics workspace create --workspace-name abaculus --resource-group "$group" --location "$location" \
  --quota 0.1 --output none
workspace=(az monitor log-analytics workspace)
logs=$("${workspace[@]}" show --workspace-name abaculus --resource-group "$group" --query customerId --output tsv)
key=$("${workspace[@]}" get-shared-keys --workspace-name abaculus --resource-group "$group" --query primarySharedKey --output tsv)
az containerapp env create --name abaculus --resource-group "$group" --location "$location" --output none \
  --logs-workspace-id "$logs" --logs-workspace-key "$key"
az containerapp create --name abaculus-ingest --resource-group "$group" --environment abaculus \
  --image "$registry.azurecr.io/$image" --registry-server "$registry.azurecr.io" --registry-identity "$identity" \
  --user-assigned "$identity" --ingress external --target-port 8080 --cpu 0.25 --memory 0.5Gi \
  --min-replicas 0 --max-replicas 1 --output none --env-vars \
  "ABACULUS_BUCKET=az://abaculus" "AZURE_CLIENT_ID=$client" "AZURE_STORAGE_ACCOUNT_NAME=$ACCOUNT" \
  ABACULUS_GROUP_COMMIT_MS=200
app=$(az containerapp show --name abaculus-ingest --resource-group "$group" --query id --output tsv)

az monitor action-group create --name abaculus --resource-group "$group" --short-name abaculus \
  --action email maintainer "$ALARM_EMAIL" --output none
alert() { # name, condition, what it means
  az monitor metrics alert create --name "abaculus-$1" --resource-group "$group" --scopes "$app" --condition "$2" \
    --description "$3" --window-size 1h --evaluation-frequency 1h --action abaculus --output none
}
alert latency "avg ResponseTime > 500" "Requests take longer than half a second"
alert errors "total Requests > 20 where statusCodeCategory includes 5xx" "Clients keep their sessions and try again"
alert free-tier "total Requests > 2000" "At this rate the month uses 75 % of the two million free requests"
alert flood "total Requests > 10000" "If these are not your users, run ingest/deploy/azure/switch.sh off"

# The alarms count the function's own log lines, because an answer 200 may refuse some sessions of a batch and fail to
# store others.
place=$("${workspace[@]}" show --workspace-name abaculus --resource-group "$group" --query id --output tsv)
actions=$(az monitor action-group show --name abaculus --resource-group "$group" --query id --output tsv)
share() { # name, field of the log line, share of requests with sessions, what it means
  az monitor scheduled-query create --name "abaculus-$1" --resource-group "$group" --scopes "$place" \
    --description "$4" --window-size 1h --evaluation-frequency 1h --action-groups "$actions" --output none \
    --condition "count 'Lines' > 0" --condition-query Lines="ContainerAppConsoleLogs_CL
      | where ContainerAppName_s == 'abaculus-ingest' | extend line = parse_json(Log_s)
      | where toint(line.stored) >= 0 | summarize requests = count(), bad = countif(toint(line.$2) > 0)
      | where requests > 20 and bad > $3 * requests"
}
share refusals refused 0.1 "More than 10 % of requests with sessions had one refused: a client sends what is not allowed"
share failures failed 0.01 "More than 1 % of requests with sessions had one that was not stored; the log says why"

echo "point a CNAME record of $HOST_NAME to $(az containerapp show --name abaculus-ingest --resource-group "$group" \
  --query properties.configuration.ingress.fqdn --output tsv), then:"
echo "az containerapp hostname add --hostname $HOST_NAME --name abaculus-ingest --resource-group $group"
echo "az containerapp hostname bind --hostname $HOST_NAME --name abaculus-ingest --resource-group $group --environment abaculus --validation-method CNAME"
