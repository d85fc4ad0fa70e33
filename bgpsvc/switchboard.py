"""The switch of each connection: which tunnel is in which state, and which one carries traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bgpsvc import damping
from bgpsvc.effects import Effect, Log
from bgpsvc.model import Role, SessionId, SwitchMode
from bgpsvc.tunnels import Assessment, Hop, Tunnel, TunnelState, assess, choose, tunnels_of
from bgpsvc.views import EventKind

_KINDS: dict[TunnelState, tuple[EventKind, Literal["info", "warning"]]] = {
    TunnelState.DOWN: ("tunnel.down", "warning"),
    TunnelState.SYNCING: ("tunnel.warming", "info"),
    TunnelState.STALE: ("tunnel.down", "warning"),
    TunnelState.WARMING: ("tunnel.warming", "info"),
    TunnelState.LIVE: ("tunnel.live", "info"),
}


@dataclass(slots=True)
class Switch:
    """State of one connection's switch."""

    carrying: SessionId | None = None
    switchovers: int = 0
    last_at: float | None = None
    last_reason: str | None = None
    _since: float = 0.0
    _carried: dict[SessionId, float] = field(default_factory=dict)
    """Seconds that each tunnel carried traffic up to `_since`."""

    def move(self, carrying: SessionId | None, now: float) -> None:
        """Traffic takes this tunnel from now on."""
        if self.carrying is not None:
            self._carried[self.carrying] = self.carried(self.carrying, now)
        self.carrying, self._since = carrying, now

    def carried(self, tunnel: SessionId, now: float) -> float:
        """Seconds that a tunnel has carried traffic by now."""
        going = max(0.0, now - self._since) if tunnel == self.carrying else 0.0
        return self._carried.get(tunnel, 0.0) + going


class Switchboard:
    """Assesses tunnels and notes what each connection carries its traffic over."""

    def __init__(
        self, tunnels: Mapping[SessionId, Tunnel], modes: Mapping[str, SwitchMode], outbox: list[Effect]
    ) -> None:
        self._tunnels = tunnels
        self._modes = modes
        self._outbox = outbox
        self._deadlines: dict[str, float] = {}
        self.switches: dict[str, Switch] = {}
        self.disbeliefs = 0
        """Rises whenever a method is no longer believed, or is again."""

    def configure(self, connections: Iterable[str]) -> None:
        """The connections there are."""
        names = list(connections)
        self.switches = {name: self.switches.get(name, Switch()) for name in names}
        self._deadlines = {n: t for n, t in self._deadlines.items() if n in self.switches}

    def tunnels_of(self, connection: str) -> list[Tunnel]:
        """Tunnels of a connection, active first."""
        return tunnels_of(self._tunnels, connection)

    def reassess(self, connection: str, now: float) -> list[SessionId]:
        """Assess all tunnels of a connection; returns those whose state changed."""
        tunnels = self.tunnels_of(connection)
        before = {t.session: t.state for t in tunnels}
        for tunnel in tunnels:
            before_review = tunnel.disbelieved
            self._outbox += tunnel.review(now)
            self.disbeliefs += tunnel.disbelieved != before_review
        # Two rounds: the first takes down what is down, so that the second sees who is left.
        deadlines: list[float] = []
        for _ in range(2):
            deadlines = []
            for tunnel in tunnels:
                others = [o for o in tunnels if o is not tunnel]
                best = max((o.state for o in others), default=TunnelState.DOWN)
                assessment = assess(tunnel, best, now, not any(o.answering for o in others))
                if assessment.deadline is not None:
                    deadlines.append(assessment.deadline)
                self._enter(tunnel, assessment, now)
        if deadlines:
            self._deadlines[connection] = min(deadlines)
        else:
            self._deadlines.pop(connection, None)
        changed = [t for t in tunnels if before[t.session] is not t.state]
        for tunnel in changed:
            kind, severity = _KINDS[tunnel.state]
            self._outbox.append(Log(kind, severity, tunnel.session, tunnel.reason))
            was = before[tunnel.session]
            last = was is TunnelState.STALE and tunnel.failing(now) is not None
            if tunnel.state is TunnelState.DOWN and (was is TunnelState.LIVE or last):
                self._failed(tunnel, now)
        if changed:
            self.carry(connection, now, "; ".join(f"{t.session}: {t.reason}" for t in changed))
        return [t.session for t in changed]

    def _failed(self, tunnel: Tunnel, now: float) -> None:
        tunnel.failed(now)
        seconds = tunnel.hold_down(now)
        if seconds > tunnel.settings.hold_down:
            count, window = len(tunnel.failures), damping.WINDOW / 60
            text = f"it failed {count} times within {window:g} minutes: its hold-down is {seconds:g} s now"
            data = {"failures": count, "hold_down": seconds}
            self._outbox.append(Log("tunnel.flapping", "warning", tunnel.session, text, data))

    @staticmethod
    def _enter(tunnel: Tunnel, assessment: Assessment, now: float) -> None:
        if assessment.state is not tunnel.state:
            tunnel.state = assessment.state
            tunnel.since = now
        tunnel.reason = assessment.reason

    def adopt(self, tunnel: Tunnel, now: float) -> list[SessionId]:
        """Make a tunnel live that was in use before the daemon looked; returns it if that is a change.

        Nothing moves with that, so it is no switchover, whichever tunnel is adopted first.
        """
        reason = "the session was established before the daemon started"
        if tunnel.state is TunnelState.LIVE:
            return []
        self._enter(tunnel, Assessment(TunnelState.LIVE, reason), now)
        self._outbox.append(Log("tunnel.live", "info", tunnel.session, reason))
        switch = self.switches.get(tunnel.connection)
        if switch is not None:
            switch.move(self.carrying(tunnel.connection, self._modes), now)
            switch.last_reason = switch.last_reason or reason
        return [tunnel.session]

    def carry(self, connection: str, now: float, why: str) -> None:
        """Note which tunnel carries traffic now; a change is a switchover or a failback."""
        switch = self.switches.get(connection)
        if switch is None:
            return
        carrying = self.carrying(connection, self._modes)
        before = switch.carrying
        if carrying == before:
            return
        switch.move(carrying, now)
        if carrying is None:
            text = "no tunnel is live; its routes are withdrawn from the table"
            self._outbox.append(Log("connection.no_live_tunnel", "error", connection, text))
            return
        if before is None and switch.last_at is None and switch.last_reason is None:
            switch.last_reason = "first tunnel up"
            return
        switch.switchovers += 1
        switch.last_at = now
        switch.last_reason = why
        kind: EventKind = (
            "connection.failback" if self._tunnels[carrying].role is Role.ACTIVE else "connection.switchover"
        )
        text = f"traffic moved from {before} to {carrying}"
        if before is None:
            text = f"traffic is back, over {carrying}, after no tunnel was live"
        self._outbox.append(
            Log(kind, "warning", connection, text, {"from": before, "to": carrying, "why": why})
        )

    def carrying(self, connection: str, modes: Mapping[str, SwitchMode]) -> SessionId | None:
        """The tunnel that carries a connection's traffic under these switch modes."""
        hops = [Hop(t.session, b"") for t in self.tunnels_of(connection)]
        chosen = choose(hops, self._tunnels.__getitem__, lambda c: modes.get(c, SwitchMode.AUTO))
        return None if chosen is None else chosen.session

    def due(self, now: float) -> list[str]:
        """Connections whose assessment may change by now."""
        return [name for name, time in self._deadlines.items() if now >= time]

    def deadline(self) -> float | None:
        """The next time at which `due` returns something."""
        return min(self._deadlines.values(), default=None)
