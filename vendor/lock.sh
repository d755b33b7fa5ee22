#!/bin/sh
# Makes requirements.lock: every platform, every hash, no address of an index (docs/adr/0002).
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"  # the lock brings its own uv
lock=${SWATH_LOCK:-requirements.lock}
# uv keeps a locked version's hashes; those of our own wheel have to be its hashes now.
if [ -f "$lock" ]; then
    sed -i '/^http-parser==/,/--hash=/d' "$lock"
fi
exec uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --find-links vendor/wheels --emit-find-links --override overrides.txt \
    --custom-compile-command "make lock" --quiet --output-file "$lock" "$@"
