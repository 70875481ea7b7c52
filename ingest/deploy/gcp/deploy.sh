#!/usr/bin/env bash
# Deploys or updates the ingest function on Cloud Run. Run it again after a change of the registry.
#
#     PROJECT=my-project HOST_NAME=telemetry.my-tool.dev ALARM_EMAIL=me@my-tool.dev ingest/deploy/gcp/deploy.sh
#
# Needs gcloud, signed in, with billing on for the project. The tests of this project do not run it against Google
# Cloud.
set -euo pipefail
cd "$(dirname "$0")/../../.."

: "${PROJECT:?the Google Cloud project}"
: "${HOST_NAME:?the host name that you own, such as telemetry.my-tool.dev}"
: "${ALARM_EMAIL:?where alarms go}"
region=${REGION:-us-central1} # domain mappings exist in some regions only, this is one of them
bucket=${BUCKET:-$PROJECT-abaculus}
account="abaculus-ingest@$PROJECT.iam.gserviceaccount.com"
image="$region-docker.pkg.dev/$PROJECT/abaculus/ingest:$(git rev-parse --short HEAD)"
g() { gcloud --quiet --project "$PROJECT" "$@"; }

g services enable run.googleapis.com logging.googleapis.com cloudbuild.googleapis.com artifactregistry.googleapis.com monitoring.googleapis.com

# Versioning and soft delete are off, so that deletions are final.
g storage buckets describe "gs://$bucket" >/dev/null 2>&1 ||
  g storage buckets create "gs://$bucket" --location "$region" --uniform-bucket-level-access \
    --public-access-prevention --soft-delete-duration 0
g storage buckets update "gs://$bucket" --no-versioning --lifecycle-file ingest/deploy/gcp/lifecycle.json

# objectCreator creates new objects. It cannot read, list, overwrite or delete.
g iam service-accounts describe "$account" >/dev/null 2>&1 ||
  g iam service-accounts create abaculus-ingest --display-name "Abaculus ingest"
g storage buckets add-iam-policy-binding "gs://$bucket" --member "serviceAccount:$account" \
  --role roles/storage.objectCreator \
  --condition "title=raw-only,expression=resource.name.startsWith('projects/_/buckets/$bucket/objects/raw/')"

g artifacts repositories describe abaculus --location "$region" >/dev/null 2>&1 ||
  g artifacts repositories create abaculus --location "$region" --repository-format docker
g builds submit --region "$region" --config ingest/deploy/gcp/build.json --substitutions "_IMAGE=$image" .

# One instance answers 80 requests at once, so group commit has something to group. The number of instances limits the
# bill.
g run deploy abaculus-ingest --image "$image" --region "$region" --service-account "$account" \
  --allow-unauthenticated --memory 256Mi --cpu 1 --concurrency 80 --min-instances 0 --max-instances 1 --timeout 30 \
  --set-env-vars "ABACULUS_BUCKET=gs://$bucket,ABACULUS_GROUP_COMMIT_MS=200"
g beta run domain-mappings describe --domain "$HOST_NAME" --region "$region" >/dev/null 2>&1 ||
  g beta run domain-mappings create --service abaculus-ingest --domain "$HOST_NAME" --region "$region"

# The alarms count the function's own log lines, because an answer 200 may refuse some sessions of a batch and fail to
# store others.
for metric in sessions refusals failures; do
  config=ingest/deploy/gcp/metric-$metric.json
  g logging metrics update "abaculus_$metric" --config-from-file "$config" 2>/dev/null ||
    g logging metrics create "abaculus_$metric" --config-from-file "$config"
done
if [ -z "$(g beta monitoring channels list --filter 'displayName=Abaculus' --format 'value(name)')" ]; then
  channel=$(g beta monitoring channels create --display-name Abaculus --type email \
    --channel-labels "email_address=$ALARM_EMAIL" --format 'value(name)')
  for policy in ingest/deploy/gcp/alert-*.json; do
    g alpha monitoring policies create --policy-from-file "$policy" --notification-channels "$channel"
  done
fi
echo "ABACULUS_BUCKET=gs://$bucket; make the DNS records that the domain mapping above names"
