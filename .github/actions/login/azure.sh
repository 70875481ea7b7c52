#!/usr/bin/env bash
# Both libraries that open the bucket read a token for Azure's storage from the environment. It is valid for an hour.
set -euo pipefail

token=$(az account get-access-token --resource https://storage.azure.com --query accessToken --output tsv)
echo "::add-mask::$token"
echo "AZURE_STORAGE_TOKEN=$token" >> "$GITHUB_ENV"
