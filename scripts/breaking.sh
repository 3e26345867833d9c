#!/usr/bin/env bash
# Finds changes of protos/ that break callers of the commit $AGAINST, by default of the main branch.
# Passes where that branch or its protos are not at hand. Usage: breaking.sh [BUF]
set -euo pipefail
cd "$(dirname "$0")/.."
buf=${1:-buf}

has_protos() { git cat-file -e "$1:protos/dovetail" 2>/dev/null; }

base=${AGAINST:-}
if [[ -z $base ]]; then
  for ref in origin/main main; do
    if has_protos "$ref"; then base=$ref && break; fi
  done
  if [[ -z $base ]]; then
    echo "breaking: no main branch with protos/ here to compare with"
    exit 0
  fi
elif ! has_protos "$base"; then
  echo "breaking: no protos/ in $base" >&2
  exit 1
fi

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$base" protos | tar -x -C "$before"
"$buf" breaking protos --against "$before/protos"
