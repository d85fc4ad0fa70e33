"""Sends the echo requests of health checks and hears the replies: one raw socket and one task for each check.

A socket is bound to the source address and to the tunnel's interface, so requests take the tunnel whatever
the routes say, and a check whose routes were revoked sees the path come back. It is opened in the
namespace of the calling thread, and again after an error, as the interface may have been made anew.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bgpsvc.health.check import Check, Verdict
from bgpsvc.health.icmp import ECHO_REPLY, Echo, reply, request
from bgpsvc.model import SessionId

_SO_BINDTODEVICE = 25
_SOL_RAW, _ICMP_FILTER = 255, 1
_PAYLOAD_BYTES = 24
_PACKET_BYTES = 2048
_PACKETS_AT_ONCE = 100
"""What floods the socket does not hold the loop up for longer."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What to check: addresses as text, `interval` in seconds."""

    interface: str
    source: str
    destination: str
    interval: float
    retries: int


Report = Callable[[SessionId, Verdict], None]
"""Hears of every verdict of a tunnel's check that differs from the one before, and of some that do not."""


class Prober:
    """The running checks, by tunnel."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._running: dict[SessionId, tuple[Probe, asyncio.Task[None]]] = {}
        self._verdicts: dict[SessionId, Verdict] = {}
        self._broken = asyncio.Event()
        self._error: BaseException | None = None

    async def configure(self, probes: Mapping[SessionId, Probe]) -> None:
        """Run these checks. One that stays the same goes on, and tells its verdict again.

        Its tunnel may have been made anew meanwhile, and nobody else knows.
        """
        changed = [i for i, (probe, _) in self._running.items() if probes.get(i) != probe]
        await self._end(changed)
        for ident, probe in probes.items():
            if ident in self._verdicts:
                self._report(ident, self._verdicts[ident])
            if ident not in self._running:
                task = asyncio.create_task(self._run(ident, probe), name=f"health check {ident}")
                task.add_done_callback(self._ended)
                self._running[ident] = (probe, task)

    async def stop(self) -> None:
        """End all checks."""
        await self._end(list(self._running))

    async def failed(self) -> None:
        """Raises what ended a check, which is a defect: errors of the network are verdicts."""
        await self._broken.wait()
        assert self._error is not None
        raise self._error

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            self._broken.set()

    async def _end(self, idents: list[SessionId]) -> None:
        tasks = [self._running.pop(ident)[1] for ident in idents]
        for ident in idents:
            self._verdicts.pop(ident, None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, ident: SessionId, probe: Probe) -> None:
        check = Check(probe.destination, probe.retries)
        line: _Line | None = None
        try:
            while True:
                sequence, verdict = check.next()
                self._tell(ident, verdict)
                try:
                    if line is None or line.broken:
                        _close(line)
                        line = None
                        line = _Line(probe, partial(self._replied, ident, check), check.failed)
                    line.send(sequence)
                except OSError as error:
                    check.failed(_failure(probe, error))
                    _close(line)
                    line = None
                # Counted from the request, so that its reply has all that time also if this one was late.
                await asyncio.sleep(probe.interval)
        finally:
            _close(line)

    def _replied(self, ident: SessionId, check: Check, sequence: int) -> None:
        self._tell(ident, check.replied(sequence))

    def _tell(self, ident: SessionId, verdict: Verdict | None) -> None:
        if verdict is not None and ident in self._running:  # else it came while the check was ended
            self._verdicts[ident] = verdict
            self._report(ident, verdict)


class _Line:
    """The socket of one check, which tells of sequence numbers that came back and of an error that ended it.

    Replies are read as soon as the loop looks at its sockets, which it does before its timers: one that
    came in time counts, however busy the loop was.
    """

    def __init__(self, probe: Probe, replied: Callable[[int], None], failed: Callable[[str], None]) -> None:
        self.broken = False
        self._probe = probe
        self._replied = replied
        self._failed = failed
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._payload = os.urandom(_PAYLOAD_BYTES)
        self._destination = socket.inet_pton(socket.AF_INET, probe.destination)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        try:
            self._socket.setblocking(False)
            # Of all ICMP the socket shall hear echo replies alone: a bit that is set keeps a type out.
            self._socket.setsockopt(
                _SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF)
            )
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, probe.interface.encode() + b"\0")
            self._socket.bind((probe.source, 0))
        except OSError:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def send(self, sequence: int) -> None:
        """Send a request."""
        packet = request(Echo(self._identifier, sequence, self._payload))
        self._socket.sendto(packet, (self._probe.destination, 0))

    def _read(self) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            try:
                packet = self._socket.recv(_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._loop.remove_reader(self._socket)
                self.broken = True
                self._failed(_failure(self._probe, error))
                return
            sequence = self._sequence(packet)
            if sequence is not None:
                self._replied(sequence)

    def _sequence(self, packet: bytes) -> int | None:
        """Sequence number of a reply; None if the packet is not one to us."""
        found = reply(packet)
        if found is None:
            return None
        source, echo = found
        ours = source == self._destination and (echo.identifier, echo.payload) == (
            self._identifier,
            self._payload,
        )
        return echo.sequence if ours else None

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()


def _close(line: _Line | None) -> None:
    if line is not None:
        line.close()


def _failure(probe: Probe, error: OSError) -> str:
    way = f"{probe.source} over {probe.interface} to {probe.destination}"
    return f"cannot send from {way}: {error.strerror or error}"
