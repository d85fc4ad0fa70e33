"""Takes readings of all tunnels every few seconds: interface counters of the kernel, the rest of the engine.

One dump of the kernel's counters serves all tunnels, whoever made them. It is read in a thread, as the kernel
may let it wait for others who change interfaces. Counters of interfaces go on over rekeying, so there is
no need to look at SAs; they end with the interface, and the history with the daemon.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice

from bgpsvc.engine import Engine
from bgpsvc.fib.counters import decode_counters, dump_counters
from bgpsvc.fib.nlsocket import Requester
from bgpsvc.fib.wire import Message, NetlinkDecodeError
from bgpsvc.measuring.rates import Counters
from bgpsvc.measuring.recorder import Reading, Recorder
from bgpsvc.measuring.rings import FINEST
from bgpsvc.model import SessionId
from bgpsvc.report import prefix_counts
from bgpsvc.tunnels import Tunnel
from bgpsvc.views import HistoryView, HistoryWindow

LATE = 0.05
"""Seconds behind the end of an interval at which it is read: a timer that fires early would miss it."""
AT_ONCE = 100
"""Tunnels between which others get their turn: they take a millisecond or two."""

log = logging.getLogger("bgpsvc")


class InterfaceCounters:
    """Reads the counters of the network namespace that it is constructed in."""

    def __init__(self) -> None:
        self._requester = Requester()

    def read(self, wanted: frozenset[int]) -> dict[int, Counters]:
        """Of these interfaces, by index; those that are gone are left out. Blocks. OSError,
        NetlinkDecodeError."""
        found: dict[int, Counters] = {}

        def take(message: Message) -> None:
            if (decoded := decode_counters(message.payload, wanted)) is not None:
                found[decoded[0]] = decoded[1]

        seq = self._requester.next_seq()
        self._requester.dump(dump_counters(seq), seq, take)
        return found

    def close(self) -> None:
        """Close the socket."""
        self._requester.close()


class Sampler:
    """Remembers what tunnels carried lately. `wall` is what to add to the engine's clock for Unix time."""

    def __init__(self, engine: Engine, wall: float) -> None:
        self._engine = engine
        self._wall = wall
        self._recorder = Recorder()
        self.traffic: Mapping[SessionId, Counters] = {}
        """What tunnels carried up to the last reading, since their interfaces were made."""
        self._failing = False

    def view(self, tunnel: SessionId, window: HistoryWindow) -> HistoryView:
        """What a tunnel carried; all unknown for one that is not known."""
        now = self._clock()
        view = self._recorder.view(tunnel, window, now)
        # Somebody may have set the time since the daemon started; events have that of the day.
        return replace(view, start=view.start + round(time.time() - now))

    async def run(self) -> None:
        """Take readings until cancelled. OSError if the kernel cannot be asked at all."""
        with closing(InterfaceCounters()) as counters:
            while True:
                await self._take(counters)
                now = self._clock()
                await asyncio.sleep(FINEST - (now - LATE) % FINEST)

    def _clock(self) -> float:
        """Unix seconds that go on evenly when somebody sets the time."""
        return time.monotonic() + self._wall

    async def _take(self, counters: InterfaceCounters) -> None:
        tunnels = list(self._engine.tunnels.values())
        links = {tunnel.session: self._index(tunnel) for tunnel in tunnels}
        wanted = frozenset(index for index in links.values() if index is not None)
        reading = asyncio.create_task(asyncio.to_thread(self._read, counters, wanted))
        try:
            at, found = await asyncio.shield(reading)
        finally:
            await asyncio.wait([reading])  # its socket must not be closed under the thread's hands
        self.traffic = {
            ident: found[index] for ident, index in links.items() if index is not None and index in found
        }
        rest = iter(tunnels)
        while some := list(islice(rest, AT_ONCE)):
            for tunnel in some:
                self._recorder.take(at, self._reading(tunnel, at, links[tunnel.session], found))
            await asyncio.sleep(0)
        self._recorder.finish(at, self._engine.tunnels)

    def _read(
        self, counters: InterfaceCounters, wanted: frozenset[int]
    ) -> tuple[float, Mapping[int, Counters]]:
        """The counters and when they were read; in a thread. Without them the rest is still known."""
        found: Mapping[int, Counters] = {}
        try:
            found = counters.read(wanted)
        except (OSError, NetlinkDecodeError) as error:
            if not self._failing:
                log.warning("counters of interfaces cannot be read: %s", error)
            self._failing = True
        else:
            self._failing = False
        return self._clock(), found

    def _index(self, tunnel: Tunnel) -> int | None:
        link = self._engine.links.get(tunnel.settings.interface)
        return None if link is None else link[0]

    def _reading(
        self, tunnel: Tunnel, at: float, index: int | None, found: Mapping[int, Counters]
    ) -> Reading:
        session = self._engine.sessions.get(tunnel.session)
        switch = self._engine.switchboard.switches.get(tunnel.connection)
        return Reading(
            tunnel=tunnel.session,
            index=index,
            counters=None if index is None else found.get(index),
            carried=0.0 if switch is None else switch.carried(tunnel.session, at - self._wall),
            session_up=None if session is None else session.established,
            prefixes=None if session is None else prefix_counts(session),
        )
