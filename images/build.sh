#!/usr/bin/env bash
# Builds the processing images with plain `docker build`, each with what it stands on:
#
#   images/build.sh [base|eo-base|NAME] ...          ndvi unless something is named
#
# base/building.sh says which variables it heeds. A processing image NAME is tagged swath/NAME:VERSION and, as Seed has it,
# NAME-VERSION-seed:PACKAGEVERSION; its manifests become the labels com.ngageoint.seed.manifest and swath.manifest.
set -euo pipefail
cd "$(dirname "$0")"
. base/building.sh

eo_base=swath/eo-base:$(sed -n 's/^version = "\(.*\)"/\1/p' eo-base/pyproject.toml)
built_eo_base=false

build_eo_base() {
    $built_eo_base && return
    choose_base
    docker_build eo-base --build-arg BASE_IMAGE="$BASE_IMAGE" --tag "$eo_base"
    built_eo_base=true
    echo "built $eo_base"
}

of_job() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["job"][sys.argv[2]])' "$1/seed.manifest.json" "$2"; }
compact() { python3 -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1])), separators=(",", ":")))' "$1"; }

build_processing_image() {
    local folder=$1 name version package
    build_eo_base
    name=$(of_job "$folder" name) version=$(of_job "$folder" jobVersion) package=$(of_job "$folder" packageVersion)
    docker_build "$folder" --build-arg EO_BASE="$eo_base" \
        --tag "swath/$name:$version" --tag "$name-$version-seed:$package" \
        --label "com.ngageoint.seed.manifest=$(compact "$folder/seed.manifest.json")" \
        --label "swath.manifest=$(compact "$folder/swath.manifest.json")"
    echo "built swath/$name:$version"
}

for target in "${@:-ndvi}"; do
    case $target in
        base) choose_base ;;
        eo-base) build_eo_base ;;
        *)
            [ -f "$target/Dockerfile" ] || { echo "there is no image $target" >&2; exit 2; }
            build_processing_image "$target"
            ;;
    esac
done
