#!/usr/bin/env bash
# Compacts and builds into $RUNNER_TEMP/site; without a bucket, builds the demo there, so that the first press of "Run
# workflow" shows something.
set -euo pipefail

if [ -z "${ABACULUS_BUCKET:-}" ]; then
  page="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/settings/variables/actions"
  echo "::notice title=No bucket yet::This is the demo, on made-up sessions. Set the variable ABACULUS_BUCKET ($page)"
  abaculus demo --no-serve --dir "$RUNNER_TEMP/demo"
  mv "$RUNNER_TEMP/demo/site" "$RUNNER_TEMP/site"
  {
    echo "### Abaculus: the demo"
    echo
    echo "The site is built from made-up sessions, because no bucket is set. To publish your own, set the variable"
    echo "\`ABACULUS_BUCKET\` under [Settings > Secrets and variables > Actions > Variables]($page)."
  } >> "$GITHUB_STEP_SUMMARY"
else
  options=(--applications "$APPLICATIONS" --since "$SINCE" --mode "$MODE" --out "$RUNNER_TEMP/site")
  if [ "$DRY_RUN" = true ]; then options+=(--dry-run); fi
  abaculus run "${options[@]}"
fi

published=false
if [ "$PUBLISH" = true ] && [ "$DRY_RUN" != true ]; then published=true; fi
echo "published=$published" >> "$GITHUB_OUTPUT"
echo "stamp=$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT" >> "$GITHUB_OUTPUT"
