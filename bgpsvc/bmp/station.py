"""One monitoring station: the TCP connection to it, made again and again, and what is written to it.

The station only reads (RFC 7854 3.2). One that does not is left alone with what fits into the write buffer;
the plan keeps where to look, bounded, and after `STALL` seconds without progress, or when more waits than
may, the connection is given up and another one begins with all tables. Nothing else in the daemon waits for
it: messages are made in turns of a few milliseconds, in a share of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable
from typing import Literal

from bgpsvc import __version__
from bgpsvc.bmp.names import addresses
from bgpsvc.bmp.options import BmpOptions, name_of
from bgpsvc.bmp.plan import Plan
from bgpsvc.bmp.wire import initiation, termination
from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.tap import Tap
from bgpsvc.views import BmpStationView

CONNECT_TIMEOUT = 10.0
BACKOFF_FIRST, BACKOFF_MOST = 1.0, 60.0
HEALTHY_AFTER = 60.0
"""Seconds after which a connection was a good one: the next attempt comes soon."""
STALL = 60.0
WRITE_BUFFER = 256 * 1024
"""Bytes that wait in the daemon before nothing more is made; the system's own buffer is beside that."""
BATCH = 64 * 1024
TURN = 0.002
SHARE = 0.3
"""Of the time, at most, for each station while there is something to tell."""
SURVEY = 1.0
LAST_SECONDS = 1.0
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

log = logging.getLogger(__name__)


class GivenUp(Exception):
    """The connection is not worth keeping; the text says why."""


class Station:
    """One station. `wall` is what to add to the engine's clock for Unix time, `note` takes events."""

    def __init__(
        self,
        where: tuple[str, int],
        options: BmpOptions,
        engine: Engine,
        tap: Tap,
        wall: float,
        note: Callable[[Log], None],
    ) -> None:
        self._where = where
        self._options = options
        self._engine = engine
        self._tap = tap
        self._wall = wall
        self._note = note
        self.name = name_of(*where)
        self._state: Literal["connecting", "connected", "waiting"] = "waiting"
        self._since = time.time()
        self._plan: Plan | None = None
        self._wake = asyncio.Event()
        self._messages = self._bytes = self._connections = 0
        self._error: tuple[float, str] | None = None
        self._failing = False
        """That it cannot be reached was told."""

    async def run(self) -> None:
        """For ever. Cancelled, it says goodbye to a station that listens."""
        backoff = BACKOFF_FIRST
        while True:
            self._enter("connecting")
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    reader, writer = await self._connected()
            except TimeoutError:
                self._failed(f"no connection within {CONNECT_TIMEOUT:.0f} s")
            except OSError as error:
                self._failed(f"no connection: {error.strerror or error}")
            else:
                began = time.monotonic()
                try:
                    await self._converse(reader, writer)
                except (OSError, GivenUp) as error:
                    self._failed(str(error) or type(error).__name__, lost=True)
                except Exception as error:  # whatever is wrong with who watches, routing goes on
                    log.exception("BMP station %s: a mistake of the daemon's", self.name)
                    self._failed(f"a mistake of the daemon's, see its log: {type(error).__name__}", lost=True)
                if time.monotonic() - began > HEALTHY_AFTER:
                    backoff = BACKOFF_FIRST
            self._enter("waiting")
            await asyncio.sleep(backoff * random.uniform(0.75, 1.0))
            backoff = min(backoff * 2, BACKOFF_MOST)

    def view(self) -> BmpStationView:
        """As REST shows it."""
        plan = self._plan
        return BmpStationView(
            station=self.name,
            state=self._state,
            since=self._since,
            ribs=tuple(sorted(rib.value for rib in self._options.ribs)),
            peers=0 if plan is None else plan.told,
            dumping=0 if plan is None else plan.dumping,
            pending=0 if plan is None else plan.pending,
            connections=self._connections,
            messages=self._messages,
            bytes=self._bytes,
            last_error=None if self._error is None else self._error[1],
            last_error_at=None if self._error is None else self._error[0],
        )

    def _enter(self, state: Literal["connecting", "connected", "waiting"]) -> None:
        self._state, self._since = state, time.time()

    def _failed(self, why: str, lost: bool = False) -> None:
        self._error = (time.time(), why)
        if lost or not self._failing:
            self._failing = True
            self._note(Log("bmp.disconnected", "warning", self.name, f"BMP station {self.name}: {why}"))

    # A connection -------------------------------------------------------------------------------

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first of its addresses that answers; the last one's OSError if none does."""
        host, port = self._where
        *others, last = await addresses(host, port)
        for address in others:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(address, port)
        return await asyncio.open_connection(last, port)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until it breaks: OSError or GivenUp."""
        _keep_alive(writer)
        writer.transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._connections += 1
        self._failing = False
        self._enter("connected")
        self._note(Log("bmp.connected", "info", self.name, f"BMP station {self.name}: connected"))
        plan = self._plan = Plan(self._engine, self._options.ribs, time.time, self._wall, self._wake.set)
        hung_up = asyncio.create_task(_until_closed(reader))
        try:
            self._write(writer, [initiation(f"bgpsvc {__version__}", socket.gethostname())])
            self._tap.watch_sessions(plan, time.time())
            self._tap.watch_routes(plan)
            await self._tell(plan, writer, hung_up)
        except asyncio.CancelledError:
            await self._say_goodbye(writer)
            raise
        finally:
            self._tap.forget(plan)
            self._plan = None
            hung_up.cancel()
            writer.transport.abort()
            await asyncio.gather(hung_up, return_exceptions=True)

    async def _tell(self, plan: Plan, writer: asyncio.StreamWriter, hung_up: asyncio.Task[None]) -> None:
        survey_at = time.monotonic() + SURVEY
        statistics_at = time.monotonic() + self._options.statistics
        while True:
            await self._drained(writer, hung_up)
            if plan.overflown:
                raise GivenUp("it read too slowly, and more waited than is kept; it begins anew")
            if plan.deaf:
                raise GivenUp("a mistake of the daemon's, see its log; it begins anew")
            now = time.monotonic()
            if now >= survey_at:
                plan.survey()
                survey_at = now + SURVEY
            if self._options.statistics and now >= statistics_at:
                self._write(writer, plan.statistics())
                statistics_at = now + self._options.statistics
            self._wake.clear()
            if self._work(plan, writer):
                # Whoever has something to do meanwhile has more of the time than we do.
                await asyncio.sleep((time.monotonic() - now) * (1 / SHARE - 1))
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, survey_at - now)):
                    await self._either(hung_up)

    def _work(self, plan: Plan, writer: asyncio.StreamWriter) -> bool:
        """Make and write messages for a few milliseconds; False if nothing was left to tell."""
        ends = time.perf_counter() + TURN
        size = 0
        while size < BATCH and time.perf_counter() < ends:
            messages = plan.step()
            if messages is None:
                return False
            size += self._write(writer, messages)
        return True

    def _write(self, writer: asyncio.StreamWriter, messages: list[bytes]) -> int:
        data = b"".join(messages)
        writer.write(data)
        self._messages += len(messages)
        self._bytes += len(data)
        return len(data)

    async def _either(self, hung_up: asyncio.Task[None]) -> None:
        """Until there is something to tell; OSError or GivenUp if the station is gone."""
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait([waking, hung_up], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        if hung_up.done():
            hung_up.result()

    async def _drained(self, writer: asyncio.StreamWriter, hung_up: asyncio.Task[None]) -> None:
        """Until there is room in the buffer."""
        if hung_up.done():
            hung_up.result()
        if writer.transport.get_write_buffer_size() <= WRITE_BUFFER:
            return
        draining = asyncio.create_task(writer.drain())
        try:
            while True:
                left = writer.transport.get_write_buffer_size()
                await asyncio.wait([draining, hung_up], timeout=STALL, return_when=asyncio.FIRST_COMPLETED)
                if draining.done():
                    draining.result()
                    return
                if hung_up.done():
                    hung_up.result()
                if writer.transport.get_write_buffer_size() >= left:
                    raise GivenUp(f"it did not read for {STALL:.0f} s")
        finally:
            draining.cancel()

    async def _say_goodbye(self, writer: asyncio.StreamWriter) -> None:
        """Termination, if the station takes it at once: the daemon's end waits for nobody."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                self._write(writer, [termination(0, "the daemon stops")])
                writer.transport.set_write_buffer_limits(high=0)
                await writer.drain()
                writer.close()
                await writer.wait_closed()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """A station that vanished without a word is noticed although nothing is said to it."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """Until the station closes, which raises; what it says is no part of BMP and is dropped."""
    while await reader.read(1 << 16):
        pass
    raise GivenUp("it closed the connection")
