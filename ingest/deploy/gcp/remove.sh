#!/usr/bin/env bash
# Removes everything that deploy.sh created. The bucket with your data stays, unless DELETE_DATA=yes.
set -euo pipefail
: "${PROJECT:?the Google Cloud project}"
: "${HOST_NAME:?the host name that was mapped}"
region=${REGION:-us-central1}
bucket=${BUCKET:-$PROJECT-abaculus}
g() { gcloud --quiet --project "$PROJECT" "$@"; }

g beta run domain-mappings delete --domain "$HOST_NAME" --region "$region" || true
g run services delete abaculus-ingest --region "$region" || true
g artifacts repositories delete abaculus --location "$region" || true
g iam service-accounts delete "abaculus-ingest@$PROJECT.iam.gserviceaccount.com" || true
for policy in $(g alpha monitoring policies list --filter 'displayName~^Abaculus' --format 'value(name)'); do
  g alpha monitoring policies delete "$policy"
done
for metric in sessions refusals failures; do
  g logging metrics delete "abaculus_$metric" || true
done
for channel in $(g beta monitoring channels list --filter 'displayName=Abaculus' --format 'value(name)'); do
  g beta monitoring channels delete "$channel"
done
if [ "${DELETE_DATA:-no}" = yes ]; then
  g storage rm --recursive "gs://$bucket"
else
  echo "kept gs://$bucket; delete it with: gcloud storage rm --recursive gs://$bucket"
fi
