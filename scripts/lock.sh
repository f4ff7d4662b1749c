#!/bin/sh
# Re-make requirements.lock from pyproject.toml (`make lock`). Argument: the uv to use.
#
# The lock names exact versions for Python 3.11 to 3.14 on every platform with the SHA-256 of each
# file that may be installed, and nothing about where they come from: a mirror that serves another
# file is refused. torch is pinned without a build and without hashes, and the CUDA packages that its
# default Linux build asks for are left out: whichever torch build is installed brings its own.
# See docs/adr/0003-lock-file.md.
set -eu
uv=${1:?usage: scripts/lock.sh UV}
cd "$(dirname "$0")/.."
resolved=$(mktemp)
trap 'rm -f "$resolved"' EXIT

"$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --extra dev \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --generate-hashes \
    --upgrade --output-file "$resolved"
{
    echo "# Made by \`make lock\` from pyproject.toml; do not edit."
    # A package is a line, and a line for each of its hashes, indented.
    awk '/^[^ ]/ {
            keep = !/^(nvidia-|cuda-|triton)/
            torch = /^torch==/
            if (torch) { sub(/\+[^ ]*/, ""); sub(/ *\\$/, "") }
        }
        keep && !(torch && /^ /)' "$resolved"
} >requirements.lock
echo "requirements.lock: $(grep -c == requirements.lock) packages"
