#!/usr/bin/env bash
# Compacts, and builds into $RUNNER_TEMP/site. Without a bucket, it builds the demo there, so that the first press of
# "Run workflow" shows something. It builds nothing if the published site is current.
set -euo pipefail

if [ -z "${ABACULUS_BUCKET:-}" ]; then
  page="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/settings/variables/actions"
  echo "::notice title=No bucket yet::This is the demo, with generated sessions. Set the variable ABACULUS_BUCKET ($page)"
  abaculus demo --no-serve --dir "$RUNNER_TEMP/demo"
  mv "$RUNNER_TEMP/demo/site" "$RUNNER_TEMP/site"
  {
    echo "### Abaculus: the demo"
    echo
    echo "The site is built from generated sessions, because no bucket is set. To publish your own, set the variable"
    echo "\`ABACULUS_BUCKET\` under [Settings > Secrets and variables > Actions > Variables]($page)."
  } >> "$GITHUB_STEP_SUMMARY"
else
  options=(--applications "$APPLICATIONS" --since "$SINCE" --mode "$MODE" --out "$RUNNER_TEMP/site")
  options+=(--live-inputs "${LIVE_INPUTS:-}")
  if [ "$DRY_RUN" = true ]; then options+=(--dry-run); fi
  abaculus run "${options[@]}"
fi

built=false published=false
if [ -d "$RUNNER_TEMP/site" ]; then built=true; fi
if [ $built = true ] && [ "$PUBLISH" = true ] && [ "$DRY_RUN" != true ]; then published=true; fi
{
  echo "built=$built"
  echo "published=$published"
  echo "stamp=$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT"
} >> "$GITHUB_OUTPUT"
