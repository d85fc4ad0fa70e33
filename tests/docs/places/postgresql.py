"""`postgresql`: a daemon that keeps its resources in a PostgreSQL server beside it. Root may do all there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.docs.places.gateway import SOCKET, asked
from tests.docs.places.sandbox import LOG, Sandbox, machine

SERVER = """
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
install -d -o postgres -g postgres /run/postgresql /var/lib/docs
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups env -C / "$@"; }
as_postgres $programs/initdb -D /var/lib/docs/data -U root -A trust -E UTF8 --locale C.UTF-8 --no-sync
as_postgres $programs/pg_ctl -D /var/lib/docs/data -l /var/lib/docs/log -w \\
  -o "-k /run/postgresql -c listen_addresses=" start
createuser bgpsvc
createdb --owner bgpsvc --encoding UTF8 --template template0 bgpsvc
"""
SERVE = f"""
bgpsvc serve --database 'postgresql://bgpsvc@/bgpsvc?host=/run/postgresql' >>{LOG} 2>&1 &
DAEMON=$!
"""


@contextmanager
def postgresql(_commands: Sequence[str]) -> Iterator[Sandbox]:
    """The server, with role and database `bgpsvc`, and the daemon (`$DAEMON`), without resources."""
    with machine("gw1") as sandbox:
        sandbox.run(SERVER)
        sandbox.run(SERVE)
        sandbox.until(asked(SOCKET, "whoami"))
        yield sandbox
