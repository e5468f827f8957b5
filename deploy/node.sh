#!/usr/bin/env bash
# Runs this node's supervisor in the foreground: node.sh CAMPAIGN-FILE [WORKSPACE]. SIGTERM ends the campaign's services cleanly.
set -euo pipefail
[ $# -ge 1 ] && [ $# -le 2 ] || { echo "usage: $0 CAMPAIGN-FILE [WORKSPACE]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
# An installed program first, else the one built in this tree.
strata=$(command -v strata || true)
[ -n "$strata" ] || strata=$here/../build/bin/strata
[ -x "$strata" ] || { echo "$0: strata is not installed and not built; 'make all' builds it" >&2; exit 1; }
exec "$strata" up "$1" --foreground ${2:+--workspace "$2"}
