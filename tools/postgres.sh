#!/usr/bin/env bash
# Runs a command with a temporary PostgreSQL, and deletes it afterwards. The command receives in POSTGRES a URL without the
# name of a database, in PGDATA the data directory, and in PGBIN the directory of the PostgreSQL commands.
set -euo pipefail

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
[ -x "${bin:-}/initdb" ] || bin=$(pg_config --bindir)
folder=$(mktemp -d)
chmod 755 "$folder"
as=()
if [ "$(id -u)" = 0 ]; then
  # PostgreSQL does not run as root.
  as=(runuser -u postgres --)
  chown postgres "$folder"
fi
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
export PGDATA="$folder/data" PGBIN="$bin"
# Runs in a directory that the user postgres can read.
pg() { (cd "$folder" && "${as[@]}" "$bin/$1" --pgdata "$PGDATA" "${@:2}"); }
stop() {
  pg pg_ctl --mode immediate --silent stop || true
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 143' HUP INT TERM
pg initdb --username mecha --auth trust --encoding UTF8 --locale C --no-sync >/dev/null
# Most tests do not need durability after a crash of the machine. Those that do set POSTGRES_FSYNC=on.
cat >> "$PGDATA/postgresql.conf" <<EOF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$folder'
max_connections = 400
fsync = ${POSTGRES_FSYNC:-off}
EOF
pg pg_ctl --log "$folder/log" --wait --silent start || { cat "$folder/log"; exit 1; }
export POSTGRES="postgres://mecha@127.0.0.1:$port"
"$@"
