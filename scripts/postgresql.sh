#!/bin/sh
# A throwaway PostgreSQL server for the tests.
#
#   scripts/postgresql.sh [--install] COMMAND [ARGUMENT...]
#       Starts a server, runs COMMAND with its URL in KEEPFIT_TEST_POSTGRESQL, stops and removes the server. Where there
#       can be none, says so and runs COMMAND all the same.
#   scripts/postgresql.sh
#       Starts a server, prints its URL, and stops when its standard input ends.
#
# --install gets PostgreSQL by apt-get where it is missing (Debian, as root). The server keeps its data in a temporary
# folder, listens on a free port of 127.0.0.1 with a password of its own, and never runs as root. It does not sync: what it
# holds is worth nothing. Exit codes: those of COMMAND; 3 if there can be no server.
set -eu

find_binaries() {
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) $(echo "$PATH" | tr ':' ' '); do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            echo "$folder"
            return
        fi
    done
}

install=no
if [ "${1:-}" = "--install" ]; then
    install=yes
    shift
fi

binaries=$(find_binaries)
if [ -z "$binaries" ] && [ $install = yes ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    {
        apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql
    } >&2 || echo "PostgreSQL cannot be installed by apt-get" >&2
    binaries=$(find_binaries)
fi
if [ -z "$binaries" ]; then
    echo "No PostgreSQL here: what needs it is left out. On Debian: apt-get install postgresql" >&2
    [ $# = 0 ] && exit 3
    exec "$@"
fi

as_user=""
folder=$(mktemp -d "${TMPDIR:-/tmp}/keepfit-postgresql.XXXXXX")
if [ "$(id -u)" = 0 ]; then
    user=nobody
    id postgres >/dev/null 2>&1 && user=postgres
    as_user="runuser -u $user --"
    chown "$user" "$folder"
fi

here=$PWD
stop() {
    cd "$folder"
    $as_user "$binaries/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true
    cd /
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cd "$folder"  # the other user may not be able to enter the folder we came from
password=$(head -c 24 /dev/urandom | base64 | tr -dc 'A-Za-z0-9')
echo "$password" | $as_user tee password >/dev/null
$as_user "$binaries/initdb" -D data -U keepfit --pwfile=password --auth=scram-sha-256 --encoding=UTF8 --locale=C \
    --no-sync >log 2>&1 || { cat log >&2; exit 3; }

tries=0
while :; do
    port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 30000))
    options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    $as_user "$binaries/pg_ctl" -D data -w -l "$folder/data/log" -o "$options" start >/dev/null 2>&1 && break
    tries=$((tries + 1))
    if [ $tries = 20 ]; then
        cat data/log >&2
        exit 3
    fi
done
cd "$here"

url="postgresql+psycopg://keepfit:$password@127.0.0.1:$port/postgres"
if [ $# = 0 ]; then
    echo "$url"
    cat >/dev/null
else
    KEEPFIT_TEST_POSTGRESQL=$url "$@"
fi
