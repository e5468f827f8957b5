#!/usr/bin/env bash
# Installs what Strata needs on Debian 12; with --tests also what its tests and benches run beside it: other people's
# programs, some of which Debian starts as services when it installs them. Whoever only runs campaigns needs none of those.
# Does nothing, quickly, when all is there. Needs root or sudo, and the package registry, only when something is missing.
set -euo pipefail

packages=(build-essential musl-tools pkg-config procps libczmq-dev libzmq3-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
    librocksdb-dev libuv1-dev libhwloc-dev libcyaml-dev libyaml-dev libzip-dev zlib1g-dev
    libfftw3-dev libjansson-dev libhiredis-dev libtorch-dev gromacs gromacs-data python3-numpy)
case ${1:-} in
'') ;;
--tests) packages+=(libcmocka-dev python3-mdanalysis jq redis-server nats-server libnats-dev python3-faiss python3-pip
    python3-setuptools python3-wheel slurm-wlm munge openssh-server gnuplot-nox dssp freesasa pymol-data mustang-testdata python3-torch python3-matplotlib) ;;
*) echo "usage: scripts/deps.sh [--tests]" >&2; exit 2 ;;
esac

say () { printf 'deps: %s\n' "$*"; }
die () { printf 'deps: %s\n' "$*" >&2; exit 1; }

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

missing=()
for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
    [ -z "$sudo" ] || command -v sudo >/dev/null || die "${#missing[@]} packages are missing (${missing[*]}); run 'make deps' as root, or install sudo"
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    $sudo apt-get update -q || die "apt-get update failed; is the package registry reachable?"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
        || die "apt-get install failed; the lines above say which package"
fi

say "all there"
