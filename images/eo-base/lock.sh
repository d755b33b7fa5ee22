#!/bin/sh
# Makes images/eo-base/requirements.lock: what swath-eo needs, in the versions of the project's own lock, with every hash and no
# address of an index.
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/.venv/bin:$PATH"  # the project's lock brings its own uv
rm -f images/eo-base/requirements.lock  # uv would keep the hashes in it; the versions come from the constraints
exec uv pip compile images/eo-base/pyproject.toml --constraints requirements.lock --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --custom-compile-command "images/eo-base/lock.sh" --quiet \
    --output-file images/eo-base/requirements.lock "$@"
