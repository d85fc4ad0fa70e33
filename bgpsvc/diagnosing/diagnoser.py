"""Diagnoses of connections, one at a time for each: whoever asks meanwhile shares the one that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bgpsvc.diagnosing.collect import Sources, TunnelGone, collect
from bgpsvc.diagnosing.evidence import Evidence
from bgpsvc.diagnosing.examine import examine, summarize
from bgpsvc.diagnosing.hearing import Hearing
from bgpsvc.diagnosing.probes import count_md5
from bgpsvc.diagnosis import Diagnosis
from bgpsvc.engine import Engine
from bgpsvc.guardian import Guardian
from bgpsvc.ipsec.model import IpsecState
from bgpsvc.model import Role, SessionId, session_id


class Diagnoser:
    """Construct it in the daemon's namespace, when it starts: what the kernel counted before is not our
    matter."""

    def __init__(
        self,
        engine: Engine,
        wall: float,
        ipsec: Callable[[SessionId], IpsecState | None],
        speaker: Callable[[Role], tuple[str, int | None] | None],
        guardian: Guardian,
    ) -> None:
        self._hearing = Hearing()
        self._sources = Sources(
            engine, wall, time.time, ipsec, speaker, guardian, count_md5(), self._hearing.last
        )
        self._running: dict[tuple[str, int | None], asyncio.Task[Diagnosis]] = {}

    def start(self) -> None:
        """Hear from now on what peers do by themselves."""
        self._hearing.start()

    def stop(self) -> None:
        """Not any more."""
        self._hearing.stop()

    async def diagnose(self, connection: str, number: int | None) -> Diagnosis:
        """Of a connection that exists, or of one of its tunnels that exists (1 or 2). TunnelGone."""
        key = (connection, number)
        task = self._running.get(key)
        if task is None:
            before = [task for (name, _), task in self._running.items() if name == connection]
            task = asyncio.create_task(self._run(connection, number, before), name=f"diagnosis {connection}")
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # Whoever hangs up does not take it from the others.
        return await asyncio.shield(task)

    async def _run(
        self, connection: str, number: int | None, before: list[asyncio.Task[Diagnosis]]
    ) -> Diagnosis:
        if before:
            await asyncio.wait(before)
        began, at = time.monotonic(), time.time()
        tunnels = self._tunnels(connection, number)
        if not tunnels:
            raise TunnelGone(connection)  # while another diagnosis was waited for
        found = await asyncio.gather(*(collect(self._sources, ident) for ident in tunnels))
        return _diagnosis(connection, at, time.monotonic() - began, found)

    def _tunnels(self, connection: str, number: int | None) -> list[SessionId]:
        wanted = (1, 2) if number is None else (number,)
        idents = [session_id(connection, one) for one in wanted]
        return [ident for ident in idents if ident in self._sources.engine.tunnels]


def _diagnosis(connection: str, at: float, seconds: float, found: list[Evidence]) -> Diagnosis:
    examined = [(evidence, examine(evidence)) for evidence in found]
    return Diagnosis(connection, at, seconds, summarize(examined), tuple(one for _, one in examined))
