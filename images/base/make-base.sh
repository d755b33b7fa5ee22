#!/usr/bin/env bash
# Makes the image that our Dockerfiles can stand on where no container registry can be reached:
# a minimal Debian 12 with Python 3.11, by debootstrap and `docker import`. Needs root and Debian's mirror.
#
#   images/base/make-base.sh [--fresh] [TAG]          TAG is swath/base:bookworm unless given
#
# The tar that it imports is kept in $SWATH_BASE_CACHE (else ~/.cache/swath), so debootstrap runs once a machine;
# --fresh makes it anew, for Debian's security updates. The mirror is debootstrap's own unless $DEBIAN_MIRROR names one.
set -euo pipefail

fresh=false
if [ "${1:-}" = --fresh ]; then fresh=true; shift; fi
tag=${1:-swath/base:bookworm}
cache=${SWATH_BASE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/swath}
tar=$cache/base-bookworm-$(dpkg --print-architecture).tar
# python3-venv brings ensurepip; nothing of ours compiles, so there is no compiler in it.
packages=python3,python3-venv,ca-certificates

if ! $fresh && docker image inspect "$tag" >/dev/null 2>&1; then
    echo "$tag is there already (--fresh makes it anew)"
    exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9  # two builds at once would both run debootstrap, and write one file

if $fresh || [ ! -s "$tar" ]; then
    [ "$(id -u)" = 0 ] || { echo "debootstrap needs root: sudo $0" >&2; exit 1; }
    command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
    # Beside the tar, never in /tmp: that may be mounted without devices or small.
    root=$(mktemp -d "$cache/root.XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    echo "debootstrap of Debian bookworm ($packages), about a minute"
    debootstrap --variant=minbase --include="$packages" bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$cache/debootstrap.log" 2>&1 \
        || { tail -n 20 "$cache/debootstrap.log" >&2; exit 1; }
    rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
        "$root"/var/log/*.log "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
    tar --create --numeric-owner --one-file-system --directory "$root" --file "$tar.partial" .
    mv "$tar.partial" "$tar"
fi

docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' "$tar" "$tag" >/dev/null
echo "$tag made from $tar"
