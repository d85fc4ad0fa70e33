"""One database as the store uses it: one writer at a time, some readers, and what happens when it is lost.

A write that raises has changed nothing. The one case in which a client cannot know, the connection ending
during the commit, is settled by looking: every write carries a number, and leaves it in the table `daemon`.
A new connection claims the database first, and so waits until the lost one has ended at the server.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bgpsvc.control import StoreUnavailable
from bgpsvc.store.backend import UNAVAILABLE, Backend, reason
from bgpsvc.store.errors import OutcomeUnknown, StoreInUse, WriteConflict
from bgpsvc.store.migrate import migrate
from bgpsvc.store.schema import daemon

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """A write whose outcome is unknown."""

    sequence: int
    decisive: bool


class Database:
    """Transactions on a backend. `clock` gives Unix seconds."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._instance = secrets.token_hex(8)
        self._lock = asyncio.Lock()
        self._writers: AsyncEngine | None = None
        self._readers: AsyncEngine | None = None
        self._writer: AsyncConnection | None = None
        self._sequence = 0
        self._unsettled: _Unsettled | None = None
        self._overtaken = False
        self._failure: str | None = None
        self._closed = False

    @property
    def location(self) -> str:
        """Where it is, without passwords."""
        return self._backend.location

    async def open(self) -> None:
        """Claim, check and migrate it. StoreError (StoreInUse) says why not; nothing is left open then."""
        try:
            self._backend.claim()
            await self._backend.create(migrate)
            self._writers, self._readers = self._backend.writer(), self._backend.readers()
            self._writer = await self._writers.connect()
            await self._backend.claim_connection(self._writer)
            await self._backend.check(self._writer)
            async with self._writer.begin():
                await self._writer.run_sync(migrate)
                await self._sign(self._writer, 0)
        except UNAVAILABLE as error:
            await self.close()
            raise self._backend.refusal(error) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Wait for the write that is going on, then let go of the database. Done twice it does nothing."""
        self._closed = True
        async with self._lock:
            await self._drop_writer()
            for engine in (self._writers, self._readers):
                if engine is not None:
                    await engine.dispose()
            self._writers = self._readers = None
            self._backend.release()

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction that only reads."""
        if self._readers is None:
            raise StoreUnavailable(f"{self.location} is closed")
        try:
            async with self._readers.connect() as connection, connection.begin():
                return await work(connection)
        except UNAVAILABLE as error:
            raise StoreUnavailable(f"{self.location}: {reason(error)}") from None

    async def write(self, work: Work[T], *, decisive: bool = False) -> T:
        """Run `work` in a transaction, which is committed and on disk when this returns.

        Whoever stops waiting does not stop the write. `decisive`: the caller's view of the database rests
        on the outcome, so an unknown one has to be settled before the next such write.
        Raises StoreUnavailable (OutcomeUnknown), WriteConflict and what `work` raises.
        """
        return await asyncio.shield(asyncio.create_task(self._write(work, decisive)))

    async def load(self, work: Work[T]) -> T:
        """`read` of what the caller's view is made of.

        A write whose outcome is unknown is settled before; only when all is read may decisive writes go on.
        """
        async with self._lock, self._translated():
            if self._unsettled is not None:
                await self._connected()
        found = await self.read(work)
        self._overtaken = False
        return found

    async def failing(self) -> str | None:
        """Why it cannot be used now, None if it can. After a failed write this tries a small one."""
        try:
            if self._failure is None:
                await asyncio.shield(asyncio.create_task(self._probe()))
            else:
                await self.write(_nothing)
        except StoreUnavailable as error:
            return str(error)
        return None

    async def _probe(self) -> None:
        async with self._lock, self._translated():
            connection = await self._connected()
            async with connection.begin():
                await connection.exec_driver_sql("SELECT 1")

    async def _write(self, work: Work[T], decisive: bool) -> T:
        async with self._lock, self._translated():
            connection = await self._connected()
            if decisive and self._overtaken:
                raise WriteConflict("an earlier write was committed after all; load again")
            sequence = self._sequence + 1
            transaction = await connection.begin()
            try:
                await self._sign(connection, sequence)
                result = await work(connection)
            except BaseException:
                if not connection.closed and not connection.invalidated:
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except UNAVAILABLE as error:
                await self._drop_writer()
                if not await self._survived(sequence, decisive, reason(error)):
                    raise
            self._sequence = sequence
            return result

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Errors of the driver as the store's; the writer's connection is made anew after one."""
        try:
            yield
        except IntegrityError as error:
            raise WriteConflict(reason(error)) from None
        except UNAVAILABLE as error:
            await self._drop_writer()
            self._failure = f"{self.location}: {reason(error)}"
            raise StoreUnavailable(self._failure) from None
        except StoreUnavailable as error:
            self._failure = str(error)
            raise
        self._failure = None

    async def _connected(self) -> AsyncConnection:
        """The writer's connection; a new one claims the database again and settles what is unknown."""
        if self._writers is None or self._closed:
            raise StoreUnavailable(f"{self.location} is closed")
        self._backend.check_in_place()
        if self._writer is not None and await self._backend.is_lost(self._writer):
            await self._drop_writer()
        if self._writer is None:
            writer = await self._writers.connect()
            try:
                await self._backend.claim_connection(writer)
                await self._recognise(writer)
            except StoreInUse as error:
                await writer.close()
                raise StoreUnavailable(str(error)) from None
            except BaseException:
                await writer.close()
                raise
            self._writer = writer
        return self._writer

    async def _recognise(self, connection: AsyncConnection) -> None:
        """See whether the database is as this daemon left it, and what became of an unsettled write."""
        async with connection.begin():
            row = (await connection.execute(select(daemon))).first()
        known, unsettled = (self._instance, self._sequence), self._unsettled
        found = None if row is None else (row.instance, row.sequence)
        if unsettled is not None and found == (self._instance, unsettled.sequence):
            self._sequence = unsettled.sequence
            self._overtaken |= unsettled.decisive
        elif found != known:
            raise StoreUnavailable(
                f"{self.location} was used by another daemon, or restored, meanwhile:"
                " start again to read it anew"
            )
        self._unsettled = None

    async def _survived(self, sequence: int, decisive: bool, why: str) -> bool:
        """What became of a write whose commit was not answered."""
        self._unsettled = _Unsettled(sequence, decisive=False)
        try:
            await self._connected()
        except (*UNAVAILABLE, StoreUnavailable) as error:
            self._unsettled = _Unsettled(sequence, decisive)
            what = error if isinstance(error, StoreUnavailable) else reason(error)
            raise OutcomeUnknown(
                f"{self.location}: {why}; whether it was stored is unknown: {what}"
            ) from None
        return self._sequence == sequence

    async def _sign(self, connection: AsyncConnection, sequence: int) -> None:
        """Note which daemon uses the database, and which write this is."""
        row = {"instance": self._instance, "sequence": sequence, "seen_at": self._clock()}
        if (await connection.execute(update(daemon).values(row))).rowcount == 0:
            await connection.execute(insert(daemon).values(id=1, **row))

    async def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            if not writer.closed and not writer.invalidated:
                await writer.invalidate()
            await writer.close()


async def _nothing(_connection: AsyncConnection) -> None:
    """A write that only signs."""
