#!/usr/bin/env bash
# Builds the application image with plain `docker build`: swath/swath:VERSION, or the tag that is given.
# images/base/building.sh says which variables it heeds.
set -euo pipefail
cd "$(dirname "$0")/.."
. images/base/building.sh

tag=${1:-swath/swath:$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
choose_base
docker_build . --build-arg BASE_IMAGE="$BASE_IMAGE" --tag "$tag"
echo "built $tag"
