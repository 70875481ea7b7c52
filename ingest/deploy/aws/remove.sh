#!/usr/bin/env bash
# Removes everything that deploy.sh created. The bucket with your data stays, unless DELETE_DATA=yes.
set -euo pipefail
stack=${STACK:-abaculus}
bucket=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
  --query "Stacks[0].Outputs[?OutputKey=='BucketUrl'].OutputValue")
account=$(aws sts get-caller-identity --query Account --output text)
region=$(aws configure get region || echo "${AWS_REGION:?set AWS_REGION}")

aws cloudformation delete-stack --stack-name "$stack"
aws cloudformation wait stack-delete-complete --stack-name "$stack"
aws s3 rb --force "s3://$stack-code-$account-$region"
if [ "${DELETE_DATA:-no}" = yes ]; then
  aws s3 rb --force "$bucket"
  echo "deleted $bucket"
else
  echo "kept $bucket; delete it with: aws s3 rb --force $bucket"
fi
