#!/bin/sh
# Stop what scripts/up.sh started (`make down`); arguments go to `nightcart server down`.
set -eu
exec "$(dirname "$0")/../.venv/bin/nightcart" server down "$@"
