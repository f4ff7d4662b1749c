#!/bin/sh
# Succeed when PostgreSQL's programs are there for `make up`; install them where that can be
# done without asking (root on a system with apt); otherwise say how to.
set -eu

has_postgres() {
    command -v initdb >/dev/null 2>&1 && return 0
    for directory in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin; do
        [ -x "$directory/initdb" ] && return 0
    done
    return 1
}

has_postgres && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing postgresql"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null || true
    # Debian's package would make and start a cluster of its own; ours are made by initdb.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    apt-get install -y -qq --no-install-recommends postgresql >/dev/null || true
    has_postgres && exit 0
fi
echo "\`make up\` keeps Airflow's state in PostgreSQL, and there is none on this machine:" \
    "sudo apt-get install postgresql (or your system's package), or make up UP_FLAGS=--sqlite" >&2
exit 1
