#!/bin/sh
# Make or refresh a virtual environment from requirements.lock (`make setup`).
#
# Arguments: the environment's directory, the version of uv to install into it.
# Environment:
#   PYTHON         the Python to use (3.11 to 3.14); otherwise the first that is found
#   TORCH_BACKEND  the torch build: cpu, auto, cu130 … (uv's --torch-backend)
# pip's own settings (package mirror, find-links, certificate) are handed on to uv, which does
# not read them.
set -eu
venv=${1:?usage: scripts/make_venv.sh DIRECTORY UV_VERSION}
uv_version=${2:?usage: scripts/make_venv.sh DIRECTORY UV_VERSION}
cd "$(dirname "$0")/.."

# As requires-python in pyproject.toml says; Great Expectations allows nothing newer.
is_fit() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1
}

find_python() {
    # 3.11 first: it is the version that the lock is resolved for and that CI runs.
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3}; do
        if is_fit "$name"; then
            echo "$name"
            return
        fi
    done
    if [ -n "${PYTHON:-}" ]; then
        echo "Nightcart needs Python 3.11 to 3.14, and PYTHON=$PYTHON is not one." >&2
    else
        echo "Nightcart needs Python 3.11 to 3.14, and there is none on the PATH:" \
            "install one, or name it: make PYTHON=/path/to/python3.11" >&2
    fi
    return 1
}

pip_setting() {
    for section in :env: install global; do
        "$venv/bin/python" -m pip config get "$section.$1" 2>/dev/null && return
    done
    return 0
}

if ! is_fit "$venv/bin/python"; then
    python=$(find_python)
    echo "making $venv with $("$python" --version)"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" >/dev/null; then
        rm -rf "$venv"
        echo "$python cannot make virtual environments; on Debian and Ubuntu:" \
            "sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"

export VIRTUAL_ENV="$PWD/$venv"
find_links=$(pip_setting find-links | tr -s ' \n' ',' | sed 's/,$//')
mirror=$(pip_setting index-url)
certificate=$(pip_setting cert)
[ -z "$find_links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$find_links}"
[ -z "$mirror" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$mirror}"
[ -z "$certificate" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificate}"
[ -z "${TORCH_BACKEND:-}" ] || export UV_TORCH_BACKEND="$TORCH_BACKEND"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"

echo "installing $(grep -c == requirements.lock) packages"
quiet=--quiet
[ ! -t 2 ] || quiet=  # at a terminal uv shows its progress
# Compiled now, once: a night starts a dozen processes, and where Python may not write beside its
# packages (PYTHONDONTWRITEBYTECODE, another user) each would compile them all again.
# shellcheck disable=SC2086  # an empty $quiet is no argument
"$venv/bin/uv" pip install $quiet --compile-bytecode --requirements requirements.lock
# The project itself, editable; what it depends on is already there.
"$venv/bin/uv" pip install --quiet --no-deps --editable .
