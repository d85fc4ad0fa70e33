"""The life of BGP sessions: up, down, back, and what of their paths that makes fresh, stale or gone. Pure.

- SessionDown changes no path. The tunnel is assessed as down (or stale), its forwarding classes
  point elsewhere: one group each. The session's table becomes its stale table.
- Stale paths are kept as long as another session has the prefix alive (or graceful restart
  allows). Nothing is forwarded over them, but the classes stay as they are, so that the session's
  return rewrites no route either. Stale paths that nobody backs are purged in the background,
  which withdraws their routes.
- SessionUp and the same announcements turn stale paths fresh; End-of-RIB sweeps what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bgpsvc.effects import Advertise, Effect, Log, Refresh
from bgpsvc.events import (
    Announced,
    EndOfRib,
    Event,
    MessagesLost,
    Negotiated,
    SessionDown,
    SessionResync,
    SessionStateChanged,
    SessionUp,
    SpeakerDown,
    SpeakerUp,
    Withdrawn,
)
from bgpsvc.gateway import Gateway
from bgpsvc.intake import Intake
from bgpsvc.jobs import Jobs
from bgpsvc.model import Family, SessionId, SessionState
from bgpsvc.repointing import Repointing
from bgpsvc.resetting import Resets
from bgpsvc.session import LastError, Session
from bgpsvc.switchboard import Switchboard
from bgpsvc.takeover import Takeover
from bgpsvc.tunnels import DEFERRAL_WITHOUT_END_OF_RIB, SELECTION_DEFERRAL_TIME, Tunnel
from bgpsvc.views import EventKind, Severity


class SessionLife:
    """Takes the events of sessions and of their speakers."""

    def __init__(
        self,
        sessions: Mapping[SessionId, Session],
        tunnels: Mapping[SessionId, Tunnel],
        gateways: Mapping[str, Gateway],
        switchboard: Switchboard,
        repointing: Repointing,
        intake: Intake,
        jobs: Jobs,
        takeover: Takeover,
        outbox: list[Effect],
    ) -> None:
        self._sessions = sessions
        self._tunnels = tunnels
        self._gateways = gateways
        self._switchboard = switchboard
        self._repointing = repointing
        self._intake = intake
        self._jobs = jobs
        self._takeover = takeover
        self._outbox = outbox
        self._resets = Resets(sessions, switchboard, outbox)

    def handle(self, session: Session, event: Event, now: float) -> None:
        """Take an event of a session."""
        match event:
            case Announced():
                session.last_update = now
                self._answered(session, now)
                session.announced_since = True
                self._intake.announced(session, event)
            case Withdrawn():
                session.last_update = now
                self._intake.withdrawn(session, event)
            case EndOfRib():
                session.counters.end_of_rib += 1
                # The end of a table of which a part was lost ends nothing, if there was no refresh since.
                if session.reset_reason is None or session.refresh_pending:
                    self._jobs.add_for(session, self._family_ended(session, event.family, now))
            case SessionUp():
                self._session_up(session, event, now)
            case SessionResync():
                self._session_resync(session, event, now)
            case SessionDown():
                self._session_down(session, event, now)
            case SessionStateChanged() if event.state is not session.state and not session.established:
                session.state = event.state
                session.since = now
            case MessagesLost():
                self._messages_lost(session, event, now)

    def speaker(self, event: SpeakerUp | SpeakerDown, now: float) -> None:
        """A speaker connected: its sessions are told everything again; or it ended: they are down."""
        if isinstance(event, SpeakerUp):
            self._log("speaker.up", "info", event.role.value, "the speaker is connected")
            for session in self._sessions.values():
                if session.settings.role is event.role:
                    self.advertise(session)
                    if session.established and session.refresh_pending:
                        self._refresh(session, now)  # the request may have been lost with the connection
                    self._resets.again(session, now)
            return
        severity: Severity = "info" if event.planned else "error"
        self._log("speaker.down", severity, event.role.value, f"the speaker ended: {event.reason}")
        for session in list(self._sessions.values()):
            if session.settings.role is event.role and session.state is not SessionState.IDLE:
                down = SessionDown(session.id, f"speaker ended: {event.reason}")
                self._session_down(session, down, now, we_restart=not event.planned)

    def advertise(self, session: Session) -> None:
        """Say what is to be advertised on a session."""
        gateway = self._gateways.get(session.settings.gateway)
        if gateway is not None:
            routes = gateway.advertisements(session.settings)
            session.advertised = len(routes)
            self._outbox.append(Advertise(session.id, routes))

    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        times = [t for t in (self._resets.deadline(),) if t is not None]
        times += [s.refresh_deadline for s in self._sessions.values() if s.refresh_deadline is not None]
        times += [t.graceful_until for t in self._tunnels.values() if t.graceful_until is not None]
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Do what is due but for resets, which come after the switchboard's tunnels (`reset_due`)."""
        for session in list(self._sessions.values()):
            tunnel = self._tunnels[session.id]
            if tunnel.graceful_until is not None and now >= tunnel.graceful_until:
                tunnel.graceful_until = None
                session.keep_stale = False
                text = "the session did not return within the restart time; its stale paths are removed"
                self._log("session.error", "warning", session.id, text)
                self._repointing.reassess(session.settings.connection, now)
            if session.refresh_deadline is not None and now >= session.refresh_deadline:
                self._refresh_overdue(session, now)

    def reset_due(self, now: float) -> Iterator[Session]:
        """Reset what need not wait any longer; returns all sessions of which only that tells the routes."""
        self._resets.tick(now)
        return self._resets.waiting()

    # Up and down -----------------------------------------------------------------------------

    def _session_up(
        self, session: Session, event: SessionUp | SessionResync, now: float, witnessed: bool = True
    ) -> None:
        negotiated = event.negotiated
        session.state = SessionState.ESTABLISHED
        session.since = now
        session.last_update = now
        session.epoch += 1
        session.refresh_pending = session.announced_since = False
        session.forget_reset()
        session.established_count += 1
        session.last_notification = None
        session.negotiated, session.opens = negotiated, event.opens
        session.end_of_rib = set()
        session.over_limit = False
        # RFC 4724 3: who announces the capability sends End-of-RIB; others may.
        told = negotiated.graceful_restart_time is not None
        session.deferral = SELECTION_DEFERRAL_TIME if told else DEFERRAL_WITHOUT_END_OF_RIB
        session.refresh_deadline = now + session.deferral
        tunnel = self._tunnels[session.id]
        tunnel.established_at = now
        tunnel.witnessed, tunnel.hold_time = witnessed, negotiated.hold_time
        tunnel.synced_at = None
        tunnel.graceful_until = None
        self._log(
            "session.up",
            "info",
            session.id,
            f"the session with AS {session.settings.peer_asn} is established",
        )
        self._repointing.reassess(session.settings.connection, now)
        self.advertise(session)
        self._drop_what_cannot_return(session, negotiated, now)

    def _drop_what_cannot_return(self, session: Session, negotiated: Negotiated, now: float) -> None:
        """Stale paths that nothing will make fresh, or whose forwarding the peer did not keep."""
        for family in Family:
            if family not in negotiated.families or self._lost_forwarding(session, family, negotiated):
                self._jobs.add_for(session, self._intake.sweep(session, family))
        if session.all_families_ended:
            self._synced(session, now)

    def _lost_forwarding(self, session: Session, family: Family, negotiated: Negotiated) -> bool:
        """The peer restarted without the F bit: its stale routes go at once (RFC 4724 4.2)."""
        restarted = session.keep_stale and not self._tunnels[session.id].we_restart
        return restarted and family not in negotiated.forwarding_preserved

    def _session_resync(self, session: Session, event: SessionResync, now: float) -> None:
        if not session.established:
            if session.established_count == 0 and self._tunnels[session.id].link_up:
                # It was up and in use before we looked: taking traffic away until End-of-RIB would be a
                # switchover that nothing calls for.
                tunnel = self._tunnels[session.id]
                tunnel.established_at, tunnel.hold_time = now, event.negotiated.hold_time
                if tunnel.failing(now) is None:
                    self._repointing.changed(self._switchboard.adopt(tunnel, now))
            self._session_up(session, event, now, witnessed=False)
        self._doubt(session)
        self._resets.again(session, now)
        self._refresh(session, now)

    def _session_down(
        self, session: Session, event: SessionDown, now: float, we_restart: bool = False
    ) -> None:
        was_established = session.established
        note = event.notification
        if note is not None:
            if note.sent:
                session.counters.notifications_sent += 1
            else:
                session.counters.notifications_received += 1
        session.last_error = LastError(now, event.reason, note)
        if note is not None:
            session.last_notification = session.last_error
        if session.state is not SessionState.IDLE:
            session.state = SessionState.IDLE
            session.since = now
        if not was_established:
            return
        session.flap_count += 1
        session.epoch += 1
        session.refresh_deadline = None
        session.refresh_pending = False
        session.forget_reset()
        self._log("session.down", "warning", session.id, f"the session went down: {event.reason}")
        tunnel = self._tunnels[session.id]
        tunnel.established_at = tunnel.synced_at = None
        tunnel.failed_before = True
        session.adj.mark_stale()
        restart_time = self._graceful_restart_time(session) if event.graceful else None
        if we_restart:
            # RFC 4724 4.1: we restart and keep forwarding, whatever the peer is capable of.
            restart_time = float(session.settings.graceful_restart) or None
        tunnel.we_restart = we_restart and restart_time is not None
        session.keep_stale = restart_time is not None
        tunnel.graceful_until = None if restart_time is None else now + restart_time
        self._repointing.reassess(session.settings.connection, now)
        if restart_time is None:
            self._jobs.add(self._intake.purge(session))

    @staticmethod
    def _graceful_restart_time(session: Session) -> float | None:
        negotiated = session.negotiated
        if not session.settings.graceful_restart or negotiated is None:
            return None
        if not negotiated.graceful_restart_families:
            return None
        return negotiated.graceful_restart_time or None

    def _messages_lost(self, session: Session, event: MessagesLost, now: float) -> None:
        session.counters.lost += event.missing
        self._log(
            "session.messages_lost",
            "warning",
            session.id,
            f"{event.missing} messages of the speaker were lost; asking for the routes again",
        )
        if session.established:
            self._doubt(session)
            self._refresh(session, now)

    def _doubt(self, session: Session) -> None:
        """Everything that it announced has to come again, or goes; what was not accepted is forgotten now."""
        forgotten = [*session.adj.refused, *session.adj.shed]
        session.adj.mark_stale()
        self._gateways[session.settings.gateway].rib.note(session.id, forgotten)

    def _refresh(self, session: Session, now: float) -> None:
        negotiated = session.negotiated
        session.keep_stale = True
        session.epoch += 1
        if negotiated is not None and negotiated.route_refresh:
            session.forget_reset()
            session.refresh_pending = True
            session.announced_since = False
            session.end_of_rib = set()
            session.deferral = SELECTION_DEFERRAL_TIME
            session.refresh_deadline = now + session.deferral
            self._outbox.append(Refresh(session.id))
        else:
            # Without the capability a reset is the only way to hear everything again (RFC 2918 1).
            session.refresh_deadline = None
            self._resets.ask(session, "messages were lost and the peer cannot refresh", now)

    @staticmethod
    def _answered(session: Session, now: float) -> None:
        """A refresh that seemed to be unanswered is being answered after all: wait for its end."""
        if session.reset_at is not None and session.refresh_pending and not session.announced_since:
            session.forget_reset()
            session.refresh_deadline = now + session.deferral

    # Stale paths ------------------------------------------------------------------------------

    def _family_ended(self, session: Session, family: Family, now: float) -> Iterator[None]:
        yield from self._intake.sweep(session, family)
        session.end_of_rib.add(family)
        if session.established and session.all_families_ended:
            self._synced(session, now)

    def _synced(self, session: Session, now: float) -> None:
        session.keep_stale = False
        session.refresh_deadline = None
        session.refresh_pending = False
        session.forget_reset()
        tunnel = self._tunnels[session.id]
        if tunnel.synced_at is None:
            tunnel.synced_at = now
        self._repointing.reassess(session.settings.connection, now)
        self._takeover.synced(self._sessions.values())

    def _refresh_overdue(self, session: Session, now: float) -> None:
        """No End-of-RIB came (RFC 4724 4.1: the deferral time); a table still arriving gets longer."""
        quiet = session.last_update + session.deferral / 3
        if now < quiet:
            session.refresh_deadline = quiet
            return
        session.refresh_deadline = None
        if session.refresh_pending and not session.announced_since:
            # A peer that answers nothing at all did not get the request: sweeping would be wrong.
            self._resets.ask(session, "the peer did not answer a route refresh", now)
            return
        if session.negotiated is not None:
            for family in session.negotiated.families:
                if family not in session.end_of_rib:
                    self._jobs.add_for(session, self._family_ended(session, family, now))

    def _log(self, kind: EventKind, severity: Severity, subject: str, message: str) -> None:
        self._outbox.append(Log(kind, severity, subject, message))
