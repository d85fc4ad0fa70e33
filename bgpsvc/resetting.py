"""When a session is reset to hear its routes again, for want of a route refresh (RFC 2918 1). Pure.

A reset takes the tunnel down until the table is back. A daemon that starts beside two peers that cannot
refresh, or do not answer, would take both tunnels of a connection down at once. So one session is reset at a
time, and only beside a tunnel that is live with a session that stays:

- established, not being reset itself, and in sync, unless it is to be reset too;
- of two that are to be reset, the one whose tunnel carries traffic is the last: what the other one tells
  meanwhile is what keeps traffic going.

What has to wait keeps its paths as stale ones, and is judged again every `REASSESS` seconds. There is no end
to that: a table that may be out of date is better than none. The only tunnel of a connection has nothing to
wait for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bgpsvc.effects import Effect, Log, Reset
from bgpsvc.model import SessionId
from bgpsvc.session import Session
from bgpsvc.switchboard import Switchboard
from bgpsvc.tunnels import Tunnel, TunnelState

CEASE_ADMIN_RESET = 4
REASSESS = 1.0
"""Seconds between two looks at whether a session that waits may be reset."""


class Resets:
    """Sessions that have to be reset: `Session.reset_reason` says why, `resetting` that it was asked for."""

    def __init__(
        self, sessions: Mapping[SessionId, Session], switchboard: Switchboard, outbox: list[Effect]
    ) -> None:
        self._sessions = sessions
        self._switchboard = switchboard
        self._outbox = outbox

    def ask(self, session: Session, reason: str, now: float) -> None:
        """Reset an established session now, or as soon as that harms nobody."""
        if session.reset_reason is not None:
            return
        session.reset_reason = reason
        if not self._try(session):
            session.reset_at = now + REASSESS
            text = f"{reason}: it is to be reset, and waits for the other tunnel of its connection to be live"
            self._outbox.append(Log("session.error", "warning", session.id, text))

    def again(self, session: Session, now: float) -> None:
        """What was asked of a speaker may have been lost with the connection to it."""
        if session.resetting:
            session.resetting = False
            session.reset_at = now

    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        times = (s.reset_at for s in self._sessions.values() if s.reset_at is not None)
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Reset what need not wait any longer."""
        for session in self._sessions.values():
            if session.reset_at is not None and now >= session.reset_at and not self._try(session):
                session.reset_at = now + REASSESS

    def waiting(self) -> Iterator[Session]:
        """Sessions of which only a reset will tell the routes."""
        return (session for session in self._sessions.values() if session.reset_reason is not None)

    def _try(self, session: Session) -> bool:
        assert session.reset_reason is not None, "only a session that is to be reset is judged"
        tunnels = self._switchboard.tunnels_of(session.settings.connection)
        others = [tunnel for tunnel in tunnels if tunnel.session != session.id]
        if not all(self._stays(other, session) for other in others):
            return False
        session.reset_at = None
        session.resetting = True
        self._outbox.append(Reset(session.id, CEASE_ADMIN_RESET, session.reset_reason))
        return True

    def _stays(self, tunnel: Tunnel, asking: Session) -> bool:
        """The tunnel is live, and its session will keep it so while the asking one is away."""
        session = self._sessions[tunnel.session]
        if tunnel.state is not TunnelState.LIVE or not session.established or session.resetting:
            return False
        if session.reset_reason is not None:
            switch = self._switchboard.switches[tunnel.connection]
            return switch.carrying != asking.id
        return session.all_families_ended and not session.refresh_pending
