#!/usr/bin/env bash
# The quick campaign of apps/membrane on this machine: `make run` (resumes), `make run FRESH=1` (starts over).
set -euo pipefail
cd "$(dirname "$0")/.."
file=apps/membrane/campaign.yaml
workspace=$(sed -n 's/^workspace: *//p' "$file")
if [ "${1:-}" = --fresh ] && [ -e "$workspace" ]; then
    # Only a folder that is a workspace is removed, and only when nothing runs on it.
    [ -e "$workspace/workspace.json" ] || { echo "run: $workspace is not a workspace of Strata; it is left alone" >&2; exit 1; }
    build/bin/strata down --workspace "$workspace" >/dev/null 2>&1 || true
    rm -rf "$workspace"
fi
exec build/bin/strata run "$file"
