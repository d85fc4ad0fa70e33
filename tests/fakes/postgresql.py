"""A PostgreSQL server of the tests' own: a directory of its own, a unix socket, no port.

PostgreSQL refuses to run as root; then it runs as the user that its package made.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

ACCESS = """
local all locked scram-sha-256
local all all trust
"""


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    assert found, "PostgreSQL is missing; run: scripts/system-packages test"
    return found[-1].parent


class Postgresql:
    """A server; `database` makes a new empty one and returns its URL."""

    def __init__(self) -> None:
        self._programs = _programs()
        # A socket's path has 107 bytes at most, which pytest's directories may exceed.
        self.home = Path(tempfile.mkdtemp(prefix="bgpsvc-pg-"))
        self._owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self._owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.home, user.pw_uid, user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def make(self) -> None:
        """Make the directory of its data."""
        options = ["--auth=trust", "--username=bgpsvc", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", [f"--pgdata={self.home / 'data'}", *options])
        (self.home / "data" / "pg_hba.conf").write_text(ACCESS)

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = [str(self._programs / "postgres"), "-D", str(self.home / "data"), "-k", str(self.home)]
        for setting in ("listen_addresses=", "fsync=on", "shared_buffers=16MB", "max_connections=60"):
            argv += ["-c", setting]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.home, **self._owner)
        deadline = time.monotonic() + 30
        while self._answer() != 0:
            log_text = (self.home / "log").read_text()
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends its connections first, SIGQUIT is a crash. Done twice it does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def hold(self, how: signal.Signals) -> None:
        """SIGSTOP: it keeps its connections and does not answer. SIGCONT: it goes on."""
        if self._process is None:
            return
        os.kill(self._process.pid, how)
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # Behind the command's name in parentheses: state, pid of the parent.
                parent = status.read_text().rpartition(")")[2].split()[1]
                if int(parent) == self._process.pid:
                    os.kill(int(status.parent.name), how)

    def remove(self) -> None:
        """Stop it and delete everything."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.home)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql says to a statement: values without decoration."""
        connection = [f"--host={self.home}", "--username=bgpsvc", f"--dbname={database}"]
        return self._run("psql", [*connection, "-v", "ON_ERROR_STOP=1", "-XAtqc", statement])

    def database(self, encoding: str = "UTF8") -> str:
        """The URL of a new database."""
        name = f"bgpsvc{next(self._numbers)}"
        self._create(name, encoding)
        return self.url(name)

    def url(self, database: str, user: str = "bgpsvc") -> str:
        """A URL by way of the socket."""
        return f"postgresql://{user}@/{database}?host={self.home}"

    def drop(self, url: str) -> None:
        """Remove a database, and with it the connections to it."""
        self.sql(f"DROP DATABASE IF EXISTS {database_name(url)} WITH (FORCE)")

    def dump(self, url: str, target: Path) -> None:
        """Write a backup of a database."""
        own = self.home / "dump"
        reach = [f"--host={self.home}", "--username=bgpsvc", "--format=custom"]
        self._run("pg_dump", [*reach, f"--file={own}", database_name(url)])
        shutil.move(own, target)

    def restore(self, url: str, source: Path) -> None:
        """Make the database anew from a backup."""
        self.drop(url)
        self._create(database_name(url), "UTF8")
        own = self.home / "dump"
        own.write_bytes(source.read_bytes())
        reach = [f"--host={self.home}", "--username=bgpsvc"]
        self._run("pg_restore", [*reach, f"--dbname={database_name(url)}", str(own)])
        own.unlink()

    def _create(self, name: str, encoding: str) -> None:
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")

    def _answer(self) -> int:
        return subprocess.run(
            [str(self._programs / "pg_isready"), "-q", f"--host={self.home}"], check=False, **self._owner
        ).returncode

    def _run(self, program: str, arguments: Sequence[str]) -> str:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self.home,
            check=False,
            timeout=60,
            **self._owner,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return str(done.stdout).strip()


def database_name(url: str) -> str:
    """The database in one of our URLs."""
    return url.split("@/")[1].split("?")[0]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A running server, one for all tests."""
    server = Postgresql()
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """What to open a store with: None (SQLite in the state directory), then a new PostgreSQL database."""
    if request.param == "sqlite":
        yield None
        return
    server: Postgresql = request.getfixturevalue("postgresql")
    url = server.database()
    try:
        yield url
    finally:
        server.drop(url)
