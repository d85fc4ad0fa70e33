"""SQLite: one file in the state directory.

WAL with synchronous=FULL syncs the log with every commit, so what was acknowledged survives a power cut
(sqlite.org/pragma.html#pragma_synchronous). Transactions are begun by us (BEGIN IMMEDIATE for the writer):
the driver's own way leaves schema changes outside of them.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, AsyncAdaptedQueuePool, Connection, NullPool, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bgpsvc.control import StoreUnavailable
from bgpsvc.store.backend import ENGINE, Migrate, reason
from bgpsvc.store.errors import StoreError, StoreInUse

BUSY_TIMEOUT_MS = 5000
FULL_CHECK_BYTES = 64 * 1024 * 1024
"""Up to this size `integrity_check` runs at start, beyond it `quick_check`, which does not compare indexes
with their tables. See docs/operations/store.md for how long they take."""

_PRAGMAS = (
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "foreign_keys=ON",
    "synchronous=FULL",
    "cell_size_check=ON",
    "trusted_schema=OFF",
)


class Sqlite:
    """A file; see `backend.Backend`."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._lock: int | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def location(self) -> str:
        """The file's path."""
        return str(self._path)

    def claim(self) -> None:
        """Lock the file beside the database; the lock goes with the process."""
        path = self._path.with_name(self._path.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot use {self._path}: {path}: {error.strerror}."
                " The daemon's user must be able to write there."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreInUse(f"another daemon uses {self._path}") from None
        self._lock = descriptor

    def release(self) -> None:
        """Unlock it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def create(self, migrate: Migrate) -> None:
        """Make the file under another name and give it its own when it is complete.

        So an empty file, or one without tables, is never a new database: something went wrong with it.
        """
        if not self._path.exists():
            new = self._path.with_name(self._path.name + ".new")
            for left in (new, Path(f"{new}-wal"), Path(f"{new}-shm"), Path(f"{new}-journal")):
                left.unlink(missing_ok=True)
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            engine = _engine(new, reading=False, poolclass=NullPool)
            async with engine.connect() as connection:
                await _use_wal(connection, new)
                async with connection.begin():
                    await connection.run_sync(migrate)
            await engine.dispose()
            # A log without its database would be replayed into the new one.
            for left in (Path(f"{self._path}-wal"), Path(f"{self._path}-shm")):
                left.unlink(missing_ok=True)
            new.replace(self._path)
            _sync(self._path.parent)
        elif self._path.stat().st_size == 0:
            raise _damaged(self._path, "it is empty")
        self._path.chmod(0o600)
        status = self._path.stat()
        self._identity = (status.st_dev, status.st_ino)

    def writer(self) -> AsyncEngine:
        """An engine whose transactions take the write lock when they begin."""
        return _engine(self._path, reading=False, poolclass=NullPool)

    def readers(self) -> AsyncEngine:
        """An engine that cannot write."""
        return _engine(
            self._path,
            reading=True,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=4,
            max_overflow=0,
            pool_timeout=10,
        )

    async def claim_connection(self, connection: AsyncConnection) -> None:
        """Nothing to do: the lock file is held."""

    async def is_lost(self, connection: AsyncConnection) -> bool:
        """A file does not hang up."""
        return False

    async def check(self, connection: AsyncConnection) -> None:
        """Read the whole file and look for damage."""
        await _use_wal(connection, self._path)
        size = await _value(connection, "page_count") * await _value(connection, "page_size")
        pragma = "integrity_check" if size <= FULL_CHECK_BYTES else "quick_check"
        async with connection.begin():
            found = (await connection.exec_driver_sql(f"PRAGMA {pragma}(5)")).scalars().all()
            orphans = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all()
        if list(found) != ["ok"]:
            raise _damaged(self._path, "; ".join(str(line).replace("\n", " ") for line in found))
        if orphans:
            raise _damaged(self._path, f"{len(orphans)} rows of {orphans[0][0]} belong to nothing")

    def refusal(self, error: BaseException) -> StoreError:
        """Damage that SQLite meets before or during its check; anything else in its words."""
        code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
        # The lowest byte is the primary code (sqlite.org/rescode.html).
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return _damaged(self._path, reason(error))
        return StoreError(f"cannot use {self._path}: {reason(error)}")

    def check_in_place(self) -> None:
        """A file restored under a running daemon is another file; writes to the old one would be lost."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}; restore it and start again") from None
        if (status.st_dev, status.st_ino) != self._identity:
            raise StoreUnavailable(
                f"{self._path} was replaced while it was in use; start again to use the new one"
            )


def _engine(path: Path, *, reading: bool, **pool: Any) -> AsyncEngine:
    # mode=rw: a file that is gone is an error, and never an empty database made in its place.
    query = {"uri": "true", "mode": "rw"}
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query=query)
    engine = create_async_engine(url, connect_args={"isolation_level": None}, **ENGINE, **pool)

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (*_PRAGMAS, "query_only=ON") if reading else _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


async def _value(connection: AsyncConnection, pragma: str) -> int:
    async with connection.begin():
        return int((await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar_one())


async def _use_wal(connection: AsyncConnection, path: Path) -> None:
    # Outside of a transaction, where alone the mode can be changed.
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, aiosqlite.Connection)
    async with driver.execute("PRAGMA journal_mode=WAL") as cursor:
        row = await cursor.fetchone()
    if row is None or row[0] != "wal":
        raise StoreError(f"{path}: its file system does not support a write-ahead log. Use a local one.")


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        f"{path} is damaged: {what}. Nothing was started. Restore a backup (docs/operations/store.md): stop"
        f" the daemon, move {path.name}, {path.name}-wal and {path.name}-shm away, put the backup there."
    )


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
