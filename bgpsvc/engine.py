"""The policy engine: takes events, keeps the RIBs, says what the kernel and the peers should have.

Pure and synchronous: `handle(event, now)` does a bounded amount of work and leaves the rest to
`work`; `now` is the shell's monotonic clock in seconds; `deadline` says when `tick` wants to be
called. What the kernel should hold is in `fib`, everything else for the shell is in `outbox`.

Session loss and return, the heart of it:

- SessionDown changes no path. The tunnel is assessed as down (or stale), its forwarding classes
  point elsewhere: one group each. The session's table becomes its stale table.
- Stale paths are kept as long as another session has the prefix alive (or graceful restart
  allows). Nothing is forwarded over them, but the classes stay as they are, so that the session's
  return rewrites no route either. Stale paths that nobody backs are purged in the background,
  which withdraws their routes.
- SessionUp and the same announcements turn stale paths fresh; End-of-RIB sweeps what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from bgpsvc.detecting import told
from bgpsvc.effects import Advertise, Effect, Log, Refresh
from bgpsvc.events import (
    Announced,
    ConnectedChanged,
    DetectionChanged,
    EndOfRib,
    Event,
    HealthChanged,
    IpsecChanged,
    LinkChanged,
    MessagesLost,
    Negotiated,
    OperatorSwitch,
    PropagationSet,
    SessionDown,
    SessionResync,
    SessionStateChanged,
    SessionUp,
    SpeakerDown,
    SpeakerHung,
    SpeakerUp,
    Withdrawn,
)
from bgpsvc.fib.plan import Fib
from bgpsvc.forwarding import StaticClass
from bgpsvc.gateway import Gateway
from bgpsvc.ids import Ids, TableNumbers
from bgpsvc.intake import Intake
from bgpsvc.jobs import Jobs, pieces
from bgpsvc.model import (
    Family,
    Prefix,
    SessionId,
    SessionState,
    SwitchMode,
)
from bgpsvc.resetting import Resets
from bgpsvc.resources import Intent
from bgpsvc.rib import AdjRibIn, ForwardingClass
from bgpsvc.session import LastError, Session, SessionSettings, session_settings
from bgpsvc.statics import RouteIndex
from bgpsvc.switchboard import Switchboard
from bgpsvc.takeover import Takeover
from bgpsvc.tunnels import (
    DEFERRAL_WITHOUT_END_OF_RIB,
    SELECTION_DEFERRAL_TIME,
    Tunnel,
    TunnelSettings,
    TunnelState,
    tunnel_settings,
)
from bgpsvc.views import EventKind, Severity


class Observer(Protocol):
    """Hears of changes while they happen; to look at anything then would see half of them."""

    def routes_changed(self, gateway: str, session: SessionId | None, prefixes: tuple[Prefix, ...]) -> None:
        """A session's paths to these prefixes may be others; None: those of no session that is left."""
        ...

    def forwarding_changed(self, gateway: str) -> None:
        """Prefixes of the gateway lead over other tunnels, although their paths are the same."""
        ...


class Engine:
    """The decision core for all gateways of one namespace."""

    def __init__(self, intent: Intent, now: float) -> None:
        self.fib = Fib()
        self.outbox: list[Effect] = []
        self.sessions: dict[SessionId, Session] = {}
        self.tunnels: dict[SessionId, Tunnel] = {}
        self.gateways: dict[str, Gateway] = {}
        self.links: dict[str, tuple[int, bool]] = {}
        self.connected: tuple[Prefix, ...] = ()
        self.modes: dict[str, SwitchMode] = {}
        self._intake = Intake(self.sessions, self.tunnels, self.gateways, self.outbox)
        self.takeover = Takeover(self.fib, self.tunnels, self.links, self.outbox)
        self.switchboard = Switchboard(self.tunnels, self.modes, self.outbox)
        self._resets = Resets(self.sessions, self.switchboard, self.outbox)
        self.intent = intent
        self._ids = Ids()
        self.numbers = TableNumbers()
        self._jobs = Jobs(self.sessions)
        self._started = False
        self._observer: Observer | None = None
        self.reconfigure(intent, now)
        self._started = True

    # Configuration ----------------------------------------------------------------------------

    def reconfigure(self, intent: Intent, now: float) -> frozenset[SessionId]:
        """Take over another intent. Sessions whose peering stays the same keep everything.

        Returns the sessions that were made anew: what the speakers told of them must be told again.
        """
        before = dict(self.sessions)
        tunnels_before = dict(self.tunnels)
        revoked = {ident for ident, tunnel in self.tunnels.items() if tunnel.revoked}
        settings = {s.id: s for s in session_settings(intent)}
        tunnels = {t.id: t for t in tunnel_settings(intent)}
        for ident, session in list(self.sessions.items()):
            if not same_peering(settings.get(ident), session.settings):
                self._remove_tunnel(ident)
        for ident, tunnel in list(self.tunnels.items()):
            if not tunnel.settings.same_tunnel(tunnels.get(ident)):
                self._remove_tunnel(ident)
        gateways = {g.name: g for g in intent.vpn_gateways}
        for name, gateway in list(self.gateways.items()):
            vpc = intent.vpc(gateways[name].vpc) if name in gateways else None
            if vpc is None or (vpc.name, vpc.route_table) != (gateway.vpc.name, gateway.vpc.route_table):
                self._remove_gateway(gateway)
        self.intent = intent
        for tunnel_setting in tunnels.values():
            self._add_tunnel(tunnel_setting, tunnels_before.get(tunnel_setting.id), now)
        for session_setting in settings.values():
            self._add_session(session_setting, now)
        index = RouteIndex(intent)
        for name in sorted(gateways):
            if name in self.gateways:
                self._reconfigure_gateway(self.gateways[name], intent, index)
            else:
                self._add_gateway(intent, name, index, now)
        for name in [n for n in self.modes if n not in {c.name for c in intent.vpn_connections}]:
            del self.modes[name]
        self.switchboard.configure(c.name for c in intent.vpn_connections)
        for connection in intent.vpn_connections:
            self._reassess(connection.name, now)
            # A tunnel whose record was made anew begins down, which is no change of its state.
            self.switchboard.carry(connection.name, now, "the configuration changed")
        # With BGP the state says nothing of the health check, which may lead to something else by now.
        self._repoint(i for i, tunnel in self.tunnels.items() if tunnel.revoked != (i in revoked))
        self.advertise_all()
        return frozenset(i for i, session in self.sessions.items() if before.get(i) is not session)

    def observe(self, observer: Observer | None) -> None:
        """Tell this one of changes from now on; None: nobody."""
        self._observer = observer
        for gateway in self.gateways.values():
            self._observe(gateway)

    def _observe(self, gateway: Gateway) -> None:
        observer, name = self._observer, gateway.name
        gateway.rib.observer = None if observer is None else partial(observer.routes_changed, name)
        gateway.forwarding.observer = None if observer is None else partial(observer.forwarding_changed, name)

    def advertise_all(self) -> None:
        """Say again what is to be advertised on every session."""
        for session in self.sessions.values():
            self._advertise(session)

    def _add_tunnel(self, settings: TunnelSettings, former: Tunnel | None, now: float) -> None:
        tunnel = self.tunnels.get(settings.id)
        if tunnel is None:
            tunnel = self.tunnels[settings.id] = Tunnel(settings, since=now)
            _, up = self.links.get(settings.interface, (0, False))
            tunnel.link_changed(up, now)
            if settings.made and self._started:
                tunnel.inherit_ipsec(former)
        elif not settings.same_check(tunnel.settings):
            tunnel.healthy = tunnel.health_reason = None
        tunnel.detections = {m: s for m, s in tunnel.detections.items() if m in settings.detected_by}
        tunnel.settings = settings

    def _add_session(self, settings: SessionSettings, now: float) -> None:
        session = self.sessions.get(settings.id)
        if session is None:
            self.sessions[settings.id] = Session(settings, since=now)
        elif session.settings != settings:
            session.settings = settings
            session.forget_verdicts()

    def _add_gateway(self, intent: Intent, name: str, index: RouteIndex, now: float) -> None:
        gateway = self.gateways[name] = Gateway(
            *(intent, name, self.fib, self._ids, self.links),
            *(self.sessions, self.tunnels, self.modes, self.numbers, index),
        )
        gateway.connected = self.connected
        gateway.rebuild_filter()
        gateway.judged_by = gateway.judging()
        self._observe(gateway)
        if gateway.table.held:
            self.takeover.begin(now)

    def _remove_tunnel(self, ident: SessionId) -> None:
        if ident in self.sessions:
            self._remove_session(self.sessions[ident])
        tunnel = self.tunnels.get(ident)
        if tunnel is not None:
            self.gateways[tunnel.settings.gateway].statics.forget(ident)
            del self.tunnels[ident]

    def _remove_session(self, session: Session) -> None:
        gateway = self.gateways[session.settings.gateway]
        adj, session.adj = session.adj, AdjRibIn()
        departure = gateway.rib.leave(session.id)
        self._jobs.add(self._intake.clear_out(gateway, session.id, departure, adj))
        session.epoch += 1
        del self.sessions[session.id]

    def _remove_gateway(self, gateway: Gateway) -> None:
        for tunnel in [t for t in self.tunnels.values() if t.settings.gateway == gateway.name]:
            self._remove_tunnel(tunnel.session)
        gateway.statics.clear()
        self.fib.retire(gateway.table.table)
        del self.gateways[gateway.name]

    def _reconfigure_gateway(self, gateway: Gateway, intent: Intent, index: RouteIndex) -> None:
        gateway.configure(intent, index)
        for session in self.sessions.values():
            if session.settings.gateway == gateway.name:
                self._intake.readmit(gateway, session)
        if gateway.propagate != gateway.config.auto_propagate:
            self._propagate(gateway, gateway.config.auto_propagate)
        if gateway.judging() != gateway.judged_by:
            gateway.rib.outdate()
            self._judge_again(gateway)

    def _judge_again(self, gateway: Gateway) -> None:
        gateway.judged_by = gateway.judging()
        self._jobs.add(self._intake.refilter(gateway))

    # Events -----------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> None:
        """Take one event. Events of unknown sessions are stragglers of a removed one and are dropped."""
        match event:
            case LinkChanged():
                self._link_changed(event, now)
            case HealthChanged():
                self._health_changed(event, now)
            case IpsecChanged():
                self._ipsec_changed(event, now)
            case DetectionChanged():
                self._detection_changed(event, now)
            case ConnectedChanged():
                self._connected_changed(event)
            case OperatorSwitch():
                self._operator_switch(event, now)
            case PropagationSet():
                self._propagation_set(event)
            case SpeakerUp() | SpeakerDown():
                self._speaker(event, now)
            case SpeakerHung():
                self._log("speaker.hung", "error", event.role.value, f"the speaker hangs: {event.what}")
            case _:
                session = self.sessions.get(event.session)
                if session is not None:
                    self._session_event(session, event, now)

    def _session_event(self, session: Session, event: Event, now: float) -> None:
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

    # Sessions ---------------------------------------------------------------------------------

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
        tunnel = self.tunnels[session.id]
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
        self._reassess(session.settings.connection, now)
        self._advertise(session)
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
        restarted = session.keep_stale and not self.tunnels[session.id].we_restart
        return restarted and family not in negotiated.forwarding_preserved

    def _session_resync(self, session: Session, event: SessionResync, now: float) -> None:
        if not session.established:
            if session.established_count == 0 and self.tunnels[session.id].link_up:
                # It was up and in use before we looked: taking traffic away until End-of-RIB would be a
                # switchover that nothing calls for.
                tunnel = self.tunnels[session.id]
                tunnel.established_at, tunnel.hold_time = now, event.negotiated.hold_time
                if tunnel.failing(now) is None:
                    self._tunnels_changed(self.switchboard.adopt(tunnel, now))
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
        tunnel = self.tunnels[session.id]
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
        self._reassess(session.settings.connection, now)
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
        self.gateways[session.settings.gateway].rib.note(session.id, forgotten)

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
            self.outbox.append(Refresh(session.id))
        else:
            # Without the capability a reset is the only way to hear everything again (RFC 2918 1).
            session.refresh_deadline = None
            self._resets.ask(session, "messages were lost and the peer cannot refresh", now)

    def _speaker(self, event: SpeakerUp | SpeakerDown, now: float) -> None:
        if isinstance(event, SpeakerUp):
            self._log("speaker.up", "info", event.role.value, "the speaker is connected")
            for session in self.sessions.values():
                if session.settings.role is event.role:
                    self._advertise(session)
                    if session.established and session.refresh_pending:
                        self._refresh(session, now)  # the request may have been lost with the connection
                    self._resets.again(session, now)
            return
        severity: Severity = "info" if event.planned else "error"
        self._log("speaker.down", severity, event.role.value, f"the speaker ended: {event.reason}")
        for session in list(self.sessions.values()):
            if session.settings.role is event.role and session.state is not SessionState.IDLE:
                down = SessionDown(session.id, f"speaker ended: {event.reason}")
                self._session_down(session, down, now, we_restart=not event.planned)

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
        tunnel = self.tunnels[session.id]
        if tunnel.synced_at is None:
            tunnel.synced_at = now
        self._reassess(session.settings.connection, now)
        self.takeover.synced(self.sessions.values())

    # Tunnels and switching --------------------------------------------------------------------

    def _reassess(self, connection: str, now: float) -> None:
        self._tunnels_changed(self.switchboard.reassess(connection, now))

    def _tunnels_changed(self, changed: list[SessionId]) -> None:
        for session in changed:
            gateway = self.gateways.get(self.tunnels[session].settings.gateway)
            if gateway is None:
                continue
            if self.tunnels[session].state is TunnelState.DOWN:
                self.fib.mark_dead(gateway.forwarding.nexthop_ids(session))
                # What this tunnel backed, stale paths of its neighbours included, must go.
                for other in self.sessions.values():
                    if other.adj.stale and other.settings.gateway == gateway.name:
                        self._jobs.add(self._intake.purge(other))
            else:
                self.fib.mark_alive(gateway.forwarding.nexthop_ids(session))
        self._repoint(changed)

    def _repoint(self, sessions: Iterable[SessionId]) -> None:
        by_gateway: dict[str, list[SessionId]] = {}
        for session in sessions:
            by_gateway.setdefault(self.tunnels[session].settings.gateway, []).append(session)
        for name, members in by_gateway.items():
            gateway = self.gateways.get(name)
            if gateway is None:
                continue
            for forwarding in gateway.forwarding.repoint(members):
                if isinstance(forwarding, StaticClass):
                    gateway.statics.mark(forwarding)
                else:
                    self._jobs.add(self._mark_class(gateway, forwarding))

    def _mark_class(self, gateway: Gateway, forwarding: ForwardingClass) -> Iterator[None]:
        """The class became usable or unusable: its routes come or go, in bounded batches."""
        # A class without hops has no routes any more; those of a removed session are marked as they leave.
        session = self.sessions.get(forwarding.hops[0].session) if forwarding.hops else None
        if session is None:
            return
        routes = gateway.rib.routes
        for piece in pieces([*session.adj.fresh, *session.adj.stale]):
            gateway.table.mark(p for p in piece if p in routes and routes[p].forwarding is forwarding)
            yield

    def _operator_switch(self, event: OperatorSwitch, now: float) -> None:
        self.modes[event.connection] = event.mode
        why = "" if event.reason is None else f": {event.reason}"
        said = {"reason": event.reason, "by": event.by}
        self._log(
            "connection.operator_switch",
            "info",
            event.connection,
            f"{event.by or 'the operator'} chose {event.mode.value}{why}",
            mode=event.mode.value,
            **{key: text for key, text in said.items() if text is not None},
        )
        self._reassess(event.connection, now)
        self._repoint(t.session for t in self.tunnels.values() if t.connection == event.connection)
        self.switchboard.carry(event.connection, now, f"operator{why}")
        for session in self.sessions.values():
            if session.settings.connection == event.connection:
                self._advertise(session)  # the tunnel out of use is announced as the last choice

    def _link_changed(self, event: LinkChanged, now: float) -> None:
        if event.ifindex is None:
            self.links.pop(event.interface, None)
        else:
            self.links[event.interface] = (event.ifindex, event.up)
        for tunnel in self.tunnels.values():
            if tunnel.interface == event.interface:
                tunnel.link_changed(event.up, now)
                # Groups move away before the kernel's deletion of the nexthop is repaired.
                self._reassess(tunnel.connection, now)
                self.gateways[tunnel.settings.gateway].forwarding.link_changed(tunnel.session)

    def _health_changed(self, event: HealthChanged, now: float) -> None:
        tunnel = self.tunnels.get(event.tunnel)
        if tunnel is None or tunnel.settings.health_check is None or tunnel.healthy is event.healthy:
            return
        tunnel.health_changed(event.healthy, event.reason, now)
        if event.healthy:
            self._log("tunnel.healthy", "info", tunnel.session, event.reason)
        else:
            self._log("tunnel.unhealthy", "warning", tunnel.session, event.reason)
        self._reassess(tunnel.connection, now)
        self._repoint([tunnel.session])  # with BGP the state stays, and yet static routes may have to go

    def _ipsec_changed(self, event: IpsecChanged, now: float) -> None:
        tunnel = self.tunnels.get(event.tunnel)
        if tunnel is None or not tunnel.settings.made:
            return
        # With BGP the session's own packets are the first; static routes have to lead there for any to come.
        usable = event.up or (event.waiting and not tunnel.settings.bgp)
        tunnel.ipsec_changed(usable, event.reason, now)
        self._reassess(tunnel.connection, now)

    def _detection_changed(self, event: DetectionChanged, now: float) -> None:
        tunnel = self.tunnels.get(event.tunnel)
        if tunnel is None or event.method not in tunnel.settings.detected_by:
            return
        before = tunnel.detections.get(event.method)
        tunnel.detection_changed(event, now)
        if before is None or before.up is not event.up:
            entry = told(event, before)
            if entry is not None:
                self.outbox.append(entry)
        self._reassess(tunnel.connection, now)

    # Propagation and policy -------------------------------------------------------------------

    def _propagation_set(self, event: PropagationSet) -> None:
        gateway = self.gateways.get(event.gateway)
        if gateway is not None and gateway.propagate != event.on:
            self._propagate(gateway, event.on)

    def _propagate(self, gateway: Gateway, on: bool) -> None:
        gateway.propagate = on
        text = f"automatic propagation is {'on' if on else 'off'}"
        self._log("gateway.propagation", "info", gateway.name, text, auto_propagate=on)
        gateway.table.mark(gateway.rib.routes)
        for session in self.sessions.values():
            if session.settings.gateway == gateway.name:
                self._advertise(session)

    def _advertise(self, session: Session) -> None:
        gateway = self.gateways.get(session.settings.gateway)
        if gateway is not None:
            routes = gateway.advertisements(session.settings)
            session.advertised = len(routes)
            self.outbox.append(Advertise(session.id, routes))

    def _connected_changed(self, event: ConnectedChanged) -> None:
        if event.prefixes == self.connected:
            return
        self.connected = event.prefixes
        for gateway in self.gateways.values():
            gateway.connected = event.prefixes
            gateway.rebuild_filter()
            self._judge_again(gateway)

    # Time and background work -----------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `tick` wants to be called next, None if never."""
        parts = (self.takeover, self.switchboard, self._resets)
        times = [t for t in (part.deadline() for part in parts) if t is not None]
        times += [s.refresh_deadline for s in self.sessions.values() if s.refresh_deadline is not None]
        times += [t.graceful_until for t in self.tunnels.values() if t.graceful_until is not None]
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Do what is due."""
        for session in list(self.sessions.values()):
            tunnel = self.tunnels[session.id]
            if tunnel.graceful_until is not None and now >= tunnel.graceful_until:
                tunnel.graceful_until = None
                session.keep_stale = False
                text = "the session did not return within the restart time; its stale paths are removed"
                self._log("session.error", "warning", session.id, text)
                self._reassess(session.settings.connection, now)
            if session.refresh_deadline is not None and now >= session.refresh_deadline:
                self._refresh_overdue(session, now)
        for connection in self.switchboard.due(now):
            self._reassess(connection, now)
        self._resets.tick(now)
        waiting = (self.gateways[s.settings.gateway] for s in self._resets.waiting())
        self.takeover.tick(now, {gateway.table.table for gateway in waiting})

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

    def work(self) -> bool:
        """Do one bounded piece of background work; False if there is none."""
        return self._jobs.work()

    @property
    def busy(self) -> bool:
        """Background work or kernel work is waiting."""
        return bool(self._jobs) or self.fib.queued > 0

    def _log(
        self,
        kind: EventKind,
        severity: Severity,
        subject: str,
        message: str,
        **data: Any,
    ) -> None:
        self.outbox.append(Log(kind, severity, subject, message, data))


def same_peering(new: SessionSettings | None, old: SessionSettings) -> bool:
    """True if the session survives the change: the peering itself is the same."""
    return new is not None and (
        (new.gateway, new.interface, new.local_address, new.peer_address, new.local_asn, new.peer_asn)
        == (old.gateway, old.interface, old.local_address, old.peer_address, old.local_asn, old.peer_asn)
    )
