"""The policy engine: takes events, keeps the RIBs, says what the kernel and the peers should have.

Pure and synchronous: `handle(event, now)` does a bounded amount of work and leaves the rest to
`work`; `now` is the shell's monotonic clock in seconds; `deadline` says when `tick` wants to be
called. What the kernel should hold is in `fib`, everything else for the shell is in `outbox`.

The life of sessions is in session_life.py, what a change of tunnels comes to in repointing.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from bgpsvc.detecting import told
from bgpsvc.effects import Effect, Log
from bgpsvc.events import (
    ConnectedChanged,
    DetectionChanged,
    Event,
    HealthChanged,
    IpsecChanged,
    LinkChanged,
    OperatorSwitch,
    PropagationSet,
    SpeakerDown,
    SpeakerHung,
    SpeakerUp,
)
from bgpsvc.fib.plan import Fib
from bgpsvc.gateway import Gateway
from bgpsvc.ids import Ids, TableNumbers
from bgpsvc.intake import Intake
from bgpsvc.jobs import Jobs
from bgpsvc.model import (
    Prefix,
    SessionId,
    SwitchMode,
)
from bgpsvc.repointing import Repointing
from bgpsvc.resources import Intent
from bgpsvc.rib import AdjRibIn
from bgpsvc.session import Session, SessionSettings, session_settings
from bgpsvc.session_life import SessionLife
from bgpsvc.statics import RouteIndex
from bgpsvc.switchboard import Switchboard
from bgpsvc.takeover import Takeover
from bgpsvc.tunnels import (
    Tunnel,
    TunnelSettings,
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
        self.intent = intent
        self._ids = Ids()
        self.numbers = TableNumbers()
        self._jobs = Jobs(self.sessions)
        parts = (self.sessions, self.tunnels, self.gateways, self.switchboard)
        self._repointing = Repointing(*parts, self._intake, self._jobs, self.fib)
        self._life = SessionLife(
            *(*parts, self._repointing, self._intake, self._jobs, self.takeover, self.outbox)
        )
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
            self._repointing.reassess(connection.name, now)
            # A tunnel whose record was made anew begins down, which is no change of its state.
            self.switchboard.carry(connection.name, now, "the configuration changed")
        # With BGP the state says nothing of the health check, which may lead to something else by now.
        self._repointing.repoint(i for i, tunnel in self.tunnels.items() if tunnel.revoked != (i in revoked))
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
            self._life.advertise(session)

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
                self._life.speaker(event, now)
            case SpeakerHung():
                self._log("speaker.hung", "error", event.role.value, f"the speaker hangs: {event.what}")
            case _:
                session = self.sessions.get(event.session)
                if session is not None:
                    self._life.handle(session, event, now)

    # Tunnels and switching --------------------------------------------------------------------

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
        self._repointing.reassess(event.connection, now)
        self._repointing.repoint(t.session for t in self.tunnels.values() if t.connection == event.connection)
        self.switchboard.carry(event.connection, now, f"operator{why}")
        for session in self.sessions.values():
            if session.settings.connection == event.connection:
                self._life.advertise(session)  # the tunnel out of use is announced as the last choice

    def _link_changed(self, event: LinkChanged, now: float) -> None:
        if event.ifindex is None:
            self.links.pop(event.interface, None)
        else:
            self.links[event.interface] = (event.ifindex, event.up)
        for tunnel in self.tunnels.values():
            if tunnel.interface == event.interface:
                tunnel.link_changed(event.up, now)
                # Groups move away before the kernel's deletion of the nexthop is repaired.
                self._repointing.reassess(tunnel.connection, now)
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
        self._repointing.reassess(tunnel.connection, now)
        # With BGP the state stays, and yet static routes may have to go.
        self._repointing.repoint([tunnel.session])

    def _ipsec_changed(self, event: IpsecChanged, now: float) -> None:
        tunnel = self.tunnels.get(event.tunnel)
        if tunnel is None or not tunnel.settings.made:
            return
        # With BGP the session's own packets are the first; static routes have to lead there for any to come.
        usable = event.up or (event.waiting and not tunnel.settings.bgp)
        tunnel.ipsec_changed(usable, event.reason, now)
        self._repointing.reassess(tunnel.connection, now)

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
        self._repointing.reassess(tunnel.connection, now)

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
                self._life.advertise(session)

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
        times = (part.deadline() for part in (self.takeover, self.switchboard, self._life))
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._life.tick(now)
        for connection in self.switchboard.due(now):
            self._repointing.reassess(connection, now)
        waiting = (self.gateways[s.settings.gateway] for s in self._life.reset_due(now))
        self.takeover.tick(now, {gateway.table.table for gateway in waiting})

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
