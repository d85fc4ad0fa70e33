"""What watches one tunnel in one way: the pure machines (`bfd`, `probe`, `health.check`) with their sockets.

Each is a task of the loop's timers, tells what changed through the `Sink`, and can say what another process
needs to go on with it.
"""

from __future__ import annotations

import abc
import math
import random
from typing import Any, Protocol

from bgpsvc.guard.bfd import BfdSession, Change
from bgpsvc.guard.bfd_sockets import Sender
from bgpsvc.guard.echo import EchoSocket
from bgpsvc.guard.loop import Loop
from bgpsvc.guard.model import BfdSettings, CheckSettings, Method, ProbeSettings
from bgpsvc.guard.probe import PeerProbe
from bgpsvc.health.check import Check, Verdict
from bgpsvc.model import SessionId

_FAREWELLS = 2
"""A session's last word is said more than once: nobody is there to repeat it when it was lost."""


class Sink(Protocol):
    """Hears of what watchers see."""

    def changed(self, tunnel: SessionId, method: Method) -> None:
        """A method says something else."""

    def verdict(self, tunnel: SessionId) -> None:
        """A health check has another verdict."""

    def kept(self, tunnel: SessionId) -> None:
        """What another process would need to go on has changed."""

    def complain(self, subject: str, text: str | None) -> None:
        """Something is impossible, or (None) it is possible now."""


class BfdWatcher:
    """A BFD session and its sender."""

    def __init__(
        self,
        tunnel: SessionId,
        interface: str,
        session: BfdSession,
        sink: Sink,
        since: float,
        port: int | None = None,
    ) -> None:
        self.session = session
        self.reason = f"no BFD packet from {session.settings.peer} yet"
        self.since = since
        """When `up` became what it is."""
        self._tunnel = tunnel
        self._sink = sink
        self._said = session.up
        self._sender = Sender(session.settings, interface, port)
        self._kept = -1

    @classmethod
    def begin(
        cls,
        tunnel: SessionId,
        interface: str,
        settings: BfdSettings,
        sink: Sink,
        now: float,
        discriminator: int,
    ) -> BfdWatcher:
        """A new session. ValueError for settings that BFD does not know."""
        session = BfdSession(settings, discriminator, now, random.random)
        return cls(tunnel, interface, session, sink, now)

    @classmethod
    def go_on(
        cls,
        tunnel: SessionId,
        interface: str,
        settings: BfdSettings,
        sink: Sink,
        now: float,
        kept: dict[str, Any],
    ) -> BfdWatcher:
        """The session of a process that has ended, under the same discriminator and from the same port."""
        session = BfdSession.restore(settings, kept["session"], now, random.random)
        watcher = cls(tunnel, interface, session, sink, kept["since"], kept["port"])
        watcher.reason = kept["reason"]
        return watcher

    def keep(self) -> dict[str, Any]:
        """For `go_on`."""
        return {
            "session": self.session.snapshot(),
            "port": self._sender.port,
            "reason": self.reason,
            "since": self.since,
        }

    @property
    def up(self) -> bool | None:
        """As the session's."""
        return self.session.up

    def received(self, data: bytes, ttl_ok: bool, now: float) -> float:
        """A packet for this session came; when to run next."""
        self._tell(self.session.received(data, ttl_ok, now), now)
        return self.session.deadline()

    def run(self, now: float) -> float:
        """Send what is due, notice who is silent."""
        session = self.session
        while True:
            packet, change = session.due(now)
            if change is not None:
                self._tell(change, now)  # the farewell of a dead path can wait, traffic can't
            if packet is not None:
                had_port = self._sender.port
                failure = self._sender.send(packet)
                self._sink.complain(f"{self._tunnel} bfd", failure)
                if had_port != self._sender.port:
                    self._sink.kept(self._tunnel)
            self._keep()
            deadline = session.deadline()
            if deadline > now:
                return deadline

    def adjust(self, settings: BfdSettings, now: float) -> None:
        """Other settings for the same path. ValueError if the path is another one."""
        self.session.adjust(settings, now)
        self._keep()

    def leave(self, now: float) -> None:
        """Tell the peer that BFD is switched off here (RFC 5880 6.8.16), and close."""
        packet = self.session.shut(now)
        for _ in range(_FAREWELLS):
            self._sender.send(packet)
        self.close()

    def close(self) -> None:
        """Close the sender; the peer is not told."""
        self._sender.close()

    def _tell(self, change: Change | None, now: float) -> None:
        self._keep()
        if change is not None:
            if change.up is not self._said:
                self._said, self.since = change.up, now
            self.reason = change.reason
            self._sink.changed(self._tunnel, Method.BFD)

    def _keep(self) -> None:
        if self.session.revision != self._kept:
            self._kept = self.session.revision
            self._sink.kept(self._tunnel)


class _EchoWatcher(abc.ABC):
    """A probe or a check: a request every interval, replies as they come."""

    def __init__(
        self, tunnel: SessionId, interface: str, source: str, destination: str, loop: Loop, sink: Sink
    ) -> None:
        self._tunnel = tunnel
        self._loop = loop
        self._sink = sink
        self._echo = EchoSocket(interface, source, destination)

    def _send(self, sequence: int) -> str | None:
        """Send a request; why that was impossible."""
        try:
            if self._echo.fileno() < 0:
                self._echo.open()
                self._loop.add(self._echo.fileno(), self._on_packets)
            self._echo.send(sequence)
        except OSError as error:
            self.close()
            return self._echo.failure(error)
        return None

    def _on_packets(self, _: int) -> None:
        try:
            sequences = self._echo.read()
        except OSError:
            self.close()  # the next request opens it again, or says why it can't
            return
        now = self._loop.beat()
        for sequence in sequences:
            self._replied(sequence, now)

    @abc.abstractmethod
    def _replied(self, sequence: int, now: float) -> None:
        """An answer to a request of this watcher."""

    def close(self) -> None:
        """Close the socket."""
        if self._echo.fileno() >= 0:
            self._loop.remove(self._echo.fileno())
            self._echo.close()


class ProbeWatcher(_EchoWatcher):
    """A probe of the tunnel's peer."""

    def __init__(
        self, tunnel: SessionId, interface: str, settings: ProbeSettings, loop: Loop, sink: Sink
    ) -> None:
        super().__init__(tunnel, interface, settings.source, settings.destination, loop, sink)
        self.settings = settings
        self.probe = PeerProbe(settings)

    def run(self, now: float) -> float:
        """The next request."""
        sequence, changed = self.probe.next(now)
        if changed:
            self._tell()
        self._sink.complain(f"{self._tunnel} probe", self._send(sequence))
        return now + self.settings.interval_ms / 1000

    def _replied(self, sequence: int, now: float) -> None:
        if self.probe.replied(sequence, now):
            self._tell()

    def _tell(self) -> None:
        self._sink.changed(self._tunnel, Method.PROBE)
        self._sink.kept(self._tunnel)


class CheckWatcher(_EchoWatcher):
    """The configured health check of a tunnel."""

    def __init__(
        self, tunnel: SessionId, interface: str, settings: CheckSettings, loop: Loop, sink: Sink
    ) -> None:
        super().__init__(tunnel, interface, settings.source, settings.destination, loop, sink)
        self.settings = settings
        self.said: Verdict | None = None
        self._check = Check(settings.destination, settings.retries)

    def run(self, now: float) -> float:
        """The next request."""
        sequence, verdict = self._check.next()
        self._tell(verdict)
        failure = self._send(sequence)
        if failure is not None:
            self._check.failed(failure)
        # Counted from the request, so that its reply has all that time also if this one was late.
        return now + self.settings.interval

    def go_on(self, kept: list[Any]) -> None:
        """With the verdict of a process that has ended."""
        self.said = Verdict(*kept)
        self._check.healthy = self.said.healthy

    def _replied(self, sequence: int, now: float) -> None:
        self._tell(self._check.replied(sequence))

    def _tell(self, verdict: Verdict | None) -> None:
        if verdict is not None:
            self.said = verdict
            self._sink.verdict(self._tunnel)
            self._sink.kept(self._tunnel)


def first_run(now: float, interval: float) -> float:
    """When a probe begins: spread over an interval, so that many do not send all at once."""
    return now + min(interval, math.inf) * random.random()
