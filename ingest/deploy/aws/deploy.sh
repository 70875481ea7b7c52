#!/usr/bin/env bash
# Deploys or updates the ingest function on AWS. Run it again after a change of the registry.
#
#     STACK=abaculus HOST_NAME=telemetry.my-tool.dev CERTIFICATE_ARN=arn:aws:acm:… \
#     REPOSITORY=me/my-tool ALARM_EMAIL=me@my-tool.dev ingest/deploy/aws/deploy.sh
#     STACK=abaculus ONLY_CODE=yes ingest/deploy/aws/deploy.sh    # the function's code and the registry in it: few rights
#
# Needs the AWS command line, signed in, curl, Python and uv. APPLICATIONS names the directory of registry files, BRANCH
# the default branch of REPOSITORY if it is not main.
set -euo pipefail
cd "$(dirname "$0")/../../.."

only_code=${ONLY_CODE:-no}
if [ "$only_code" != yes ]; then
  : "${HOST_NAME:?the host name that you own, such as telemetry.my-tool.dev}"
  : "${CERTIFICATE_ARN:?the certificate of that host name in AWS Certificate Manager, in this region}"
  : "${REPOSITORY:?the GitHub repository whose workflow compacts, as owner/name}"
  : "${ALARM_EMAIL:?where alarms go}"
fi
stack=${STACK:-abaculus}
applications=${APPLICATIONS:-ingest/applications}
python=${PYTHON:-python3}

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

# The function's own files and the two libraries that it needs, for its processor. With uv, because the environment of
# the workflow has no pip.
install() {
  uv pip install --quiet --no-config --require-hashes --no-deps --only-binary :all: --python "$python" \
    --target "$@" -r ingest/deploy/requirements.txt
}
install "$build/code" --python-platform aarch64-manylinux_2_28 --python-version 3.13
rm -rf "$build"/code/granian* "$build"/code/click* "$build"/code/bin # the server: Lambda brings its own
mkdir -p "$build/code/ingest/function" "$build/code/applications"
cp ingest/__init__.py "$build/code/ingest/"
cp ingest/function/*.py "$build/code/ingest/function/"
cp "$applications"/*.toml "$build/code/applications/"
# A registry with faults must fail here, not at the first request: with the same libraries, for this processor.
install "$build/here"
PYTHONPATH="$build/here" "$python" -c "
import sys
from pathlib import Path
from ingest.function.registry import load
print('applications:', ', '.join(load(Path(sys.argv[1]))))" "$build/code/applications"
find "$build/code" -name __pycache__ -prune -exec rm -rf {} +
(cd "$build/code" && "$python" -m zipfile -c "$build/code.zip" ./*)

if [ "$only_code" = yes ]; then
  name=$(aws cloudformation describe-stack-resource --stack-name "$stack" --logical-resource-id Ingest \
    --query StackResourceDetail.PhysicalResourceId --output text)
  # With new code and the old name of the handler, every request would fail.
  wanted=$(sed -n 's/^ *Handler: //p' ingest/deploy/aws/template.yaml)
  deployed=$(aws lambda get-function-configuration --function-name "$name" --query Handler --output text)
  if [ "$deployed" != "$wanted" ]; then
    echo "The stack $stack calls $deployed, but this code has $wanted: run this script once without ONLY_CODE" >&2
    exit 1
  fi
  aws lambda update-function-code --function-name "$name" --zip-file "fileb://$build/code.zip" \
    --query LastModified --output text
  aws lambda wait function-updated --function-name "$name"
  exit
fi

# The names of repositories created since July 2026 contain numbers, so that nobody can take over a name.
numbered=${REPOSITORY_IDS:-}
if [ -z "$numbered" ] && [ -n "${GITHUB_REPOSITORY_ID:-}" ] && [ "${GITHUB_REPOSITORY:-}" = "$REPOSITORY" ]; then
  numbered="${REPOSITORY%/*}@$GITHUB_REPOSITORY_OWNER_ID/${REPOSITORY#*/}@$GITHUB_REPOSITORY_ID"
elif [ -z "$numbered" ]; then
  numbered=$(curl -fsS "https://api.github.com/repos/$REPOSITORY" | "$python" -c "
import json, sys
found = json.load(sys.stdin)
print('{}@{}/{}@{}'.format(found['owner']['login'], found['owner']['id'], found['name'], found['id']))") || {
    echo "The numbers of $REPOSITORY cannot be read (is it private?): set REPOSITORY_IDS=owner@1/name@2, from" >&2
    echo "gh api repos/$REPOSITORY --jq '\"\(.owner.login)@\(.owner.id)/\(.name)@\(.id)\"'" >&2
    exit 1
  }
fi

account=$(aws sts get-caller-identity --query Account --output text)
region=$(aws configure get region || echo "${AWS_REGION:?set AWS_REGION}")
code_bucket="$stack-code-$account-$region"
if ! aws s3api head-bucket --bucket "$code_bucket" 2>/dev/null; then
  aws s3 mb "s3://$code_bucket" --region "$region"
fi
code_key="ingest-$(sha256sum "$build/code.zip" | cut -c1-16).zip"
aws s3 cp --only-show-errors "$build/code.zip" "s3://$code_bucket/$code_key"

provider=$(aws iam list-open-id-connect-providers --output text \
  --query "OpenIDConnectProviderList[?ends_with(Arn, 'token.actions.githubusercontent.com')].Arn | [0]")
made=$(aws cloudformation describe-stack-resources --stack-name "$stack" --output text \
  --query "StackResources[?LogicalResourceId=='GitHubProvider'].PhysicalResourceId | [0]" 2>/dev/null || true)
# A provider that this stack has created stays a part of the stack.
if [ "$provider" = None ] || [ "$provider" = "$made" ]; then provider=""; fi

# Reserve this many requests at once, if the account allows it: a hundred must be left for other functions. Otherwise
# the limit of the account applies.
concurrency=${CONCURRENCY:-10}
unreserved=$(aws lambda get-account-settings --query AccountLimit.UnreservedConcurrentExecutions --output text)
if [ $((unreserved - concurrency)) -lt 100 ]; then concurrency=""; fi

aws cloudformation deploy --stack-name "$stack" --template-file ingest/deploy/aws/template.yaml \
  --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides \
  "HostName=$HOST_NAME" "CertificateArn=$CERTIFICATE_ARN" "Repositories=$REPOSITORY,$numbered" "Branch=${BRANCH:-main}" \
  "AlarmEmail=$ALARM_EMAIL" "RequestsPerSecond=${REQUESTS_PER_SECOND:-10}" "Concurrency=$concurrency" \
  "CodeBucket=$code_bucket" "CodeKey=$code_key" "GitHubProviderArn=$provider"
aws cloudformation describe-stacks --stack-name "$stack" --output table --query "Stacks[0].Outputs[].[OutputKey,OutputValue,Description]"
