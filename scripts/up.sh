#!/bin/sh
# Start the server's processes on this machine (`make up`); arguments go to `nightcart server up`.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
"$here/scripts/require_java.sh"
case " $* " in
*" --sqlite "*) ;;
*) "$here/scripts/require_postgres.sh" ;;
esac
exec "$here/.venv/bin/nightcart" server up "$@"
