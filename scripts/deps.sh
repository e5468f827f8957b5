#!/usr/bin/env bash
# Installs what Strata needs on Debian 12 and builds the FAISS C glue from Debian's own faiss source package.
# Does nothing, quickly, when all is there. Needs root or sudo, and the package registry, only when something is missing.
set -euo pipefail

packages=(build-essential pkg-config procps libczmq-dev libzmq3-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
    librocksdb-dev libuv1-dev libfaiss-dev libopenblas-dev libhwloc-dev libcyaml-dev libyaml-dev libzip-dev zlib1g-dev
    libfftw3-dev libjansson-dev libcmocka-dev gromacs gromacs-data python3-numpy python3-mdanalysis jq dpkg-dev
    redis-server nats-server libhiredis-dev libnats-dev)
prefix=${STRATA_DEPS:-$HOME/.cache/strata-deps}

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

if [ ! -e "$prefix/lib/libfaiss_c.a" ]; then
    version=$(dpkg-query -W -f='${source:Version}' libfaiss-dev)
    say "building the FAISS C glue from Debian's source package faiss $version"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # A source list of this script's own: the machine's package sources stay as they are.
    sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' /etc/apt/sources.list.d/debian.sources > "$work/src.sources" 2>/dev/null \
        || sed -E 's/^deb /deb-src /' /etc/apt/sources.list > "$work/src.list"
    # As the caller: apt's own user may not write into this folder.
    opts=(-o "APT::Sandbox::User=$(id -un)" -o "Dir::Etc::SourceParts=$work/parts" -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
    mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial"
    if [ -s "$work/src.sources" ]; then mv "$work/src.sources" "$work/parts/"; opts+=(-o "Dir::Etc::SourceList=/dev/null")
    else opts+=(-o "Dir::Etc::SourceList=$work/src.list"); fi
    (cd "$work" && apt-get "${opts[@]}" update -q && apt-get "${opts[@]}" source -q --download-only "faiss=$version") \
        || die "the source package of faiss could not be had; is the package registry reachable?"
    (cd "$work" && dpkg-source --no-check -x faiss_*.dsc src >/dev/null)
    mkdir -p "$prefix/lib" "$prefix/include"
    objects=()
    for f in AutoTune_c Clustering_c IndexFlat_c IndexIVFFlat_c IndexIVF_c Index_c error_impl index_factory_c index_io_c; do
        src=$(find "$work/src/c_api" -name "$f.cpp" | head -n 1)
        [ -n "$src" ] || die "faiss $version has no c_api/$f.cpp; scripts/deps.sh needs a look"
        g++ -O2 -fPIC -fopenmp -I"$work/src" -I"$work/src/c_api" -c "$src" -o "$work/$f.o"
        objects+=("$work/$f.o")
    done
    ar rcs "$work/libfaiss_c.a" "${objects[@]}"
    # By rename: two builds at once, or one cut short, leave a whole library or none.
    mv "$work/libfaiss_c.a" "$prefix/lib/libfaiss_c.a"
fi
say "all there"
