#!/bin/sh
# Makes deploy/requirements.lock, what the application image needs: the part of the project's own lock that its programs need.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"  # the project's lock brings its own uv
rm -f deploy/requirements.lock  # uv would keep the hashes in it; the versions come from the constraints
exec uv pip compile pyproject.toml --extra programs --constraints requirements.lock --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --find-links vendor/wheels --override overrides.txt \
    --custom-compile-command "deploy/lock.sh" --quiet --output-file deploy/requirements.lock "$@"
