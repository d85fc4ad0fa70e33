"""A `bgpsvc.port.Service` with real state in memory: the reference scenario, seen from gateway 1.

Two sessions of one connection announce a handful of prefixes, some of them refused by the import
policy. Tests move the state with `session_down`, `session_up` and `announce`; the views follow, as
do events, switchover and the table. It refuses what the real service refuses: unknown names, stale
ETags, filters without meaning, announcements over a session that is not established.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bgpsvc.control import SYSTEM, Actor
from bgpsvc.diagnosis import Check, Diagnosis, Fact, Layer, TunnelDiagnosis
from bgpsvc.measuring.recorder import Recorder
from bgpsvc.model import (
    Attributes,
    Family,
    Prefix,
    Reason,
    Role,
    SessionId,
    SessionState,
    SwitchMode,
    covers,
    format_prefix,
    pack_prefix,
    parse_address,
    parse_prefix,
    prefix_family,
)
from bgpsvc.mrt.codec import Peer, peer_index_table, rib_attributes, rib_entry, rib_record
from bgpsvc.port import (
    EVERY_EVENT,
    EventFilter,
    InvalidQuery,
    NotFound,
    NotMade,
    PreconditionFailed,
    RouteFilter,
    TooManyDumps,
)
from bgpsvc.route_search import understood
from bgpsvc.views import (
    BfdView,
    BmpStationView,
    CandidateView,
    ChildSa,
    ChoiceView,
    ConnectionView,
    DetectionView,
    EventKind,
    EventView,
    GatewayView,
    HistoryView,
    HistoryWindow,
    IkeSa,
    IpsecError,
    IpsecState,
    IpsecStatus,
    MessageCounts,
    NegotiatedView,
    Page,
    PrefixCounts,
    ReadyView,
    RestartPlan,
    RouteView,
    SessionError,
    SessionView,
    Span,
    SwitchPlan,
    TableRouteView,
    TunnelView,
    VpcView,
)

START = 1_760_000_000.0
GATEWAY, CONNECTION, VPC, TABLE = "gw1", "conn1", "vpc1", 1001
ACTIVE, STANDBY = "conn1-tunnel1", "conn1-tunnel2"
LOCAL_PREF = {ACTIVE: 200, STANDBY: 100}
_DUMPED = rib_attributes(Attributes(parse_address("169.254.10.2")), Family.IPV4)

NEGOTIATED = NegotiatedView(
    hold_time=30,
    families=("ipv4", "ipv6"),
    asn4=True,
    route_refresh=True,
    enhanced_refresh=False,
    message_size=4096,
    graceful_restart_time=120,
    graceful_restart_families=("ipv4",),
    peer_router_id="198.51.100.2",
    peer_asn=65500,
    peer_capabilities=("multiprotocol", "route-refresh", "asn4", "graceful-restart"),
)


@dataclass(frozen=True)
class FakePath:
    """One announced path; `refused` is the import policy's verdict."""

    as_path: str = "65500"
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    med: int | None = None
    refused: Reason | None = None


def diagnosed(ident: str) -> TunnelDiagnosis:
    """What a diagnosis finds: a wrong ASN of the active tunnel's peer."""
    layer: Layer = "bgp"
    if ident != ACTIVE:
        return TunnelDiagnosis(ident, "standby", (Check(layer, "ok", "ok", "the session is established"),))
    facts = (Fact("ASN of the peer", local="65500", remote="65501"), Fact("state", "active"))
    check = Check(layer, "failed", "bgp_wrong_asn", "the peer has ASN 65501", facts, "Correct the ASN.")
    return TunnelDiagnosis(ident, "active", (check,))


@dataclass
class FakeService:
    """See the module. `now` is the clock; tests set it."""

    now: float = START + 3600
    auto_propagate: bool = True
    generation: int = 1
    mode: SwitchMode = SwitchMode.AUTO
    choice: ChoiceView | None = None
    switchovers: int = 0
    last_switchover: float | None = None
    last_switchover_reason: str | None = None
    checks: dict[str, tuple[bool, str]] = field(
        default_factory=lambda: {
            "speaker.active": (True, "ExaBGP runs"),
            "speaker.standby": (True, "ExaBGP runs"),
            "netlink": (True, "kernel and plan agree"),
        }
    )
    paths: dict[Prefix, dict[str, FakePath]] = field(default_factory=dict)
    log: list[EventView] = field(default_factory=list)
    subscribers: int = 0
    external: frozenset[str] = frozenset()
    """Tunnels that somebody else makes."""
    ipsec_errors: dict[str, IpsecError] = field(default_factory=dict)
    """Tunnels without SAs, and what is wrong with them."""
    restarts: list[str] = field(default_factory=list)
    dumping: int = 0
    """Dumps that are being read; one at a time."""
    recorder: Recorder = field(default_factory=Recorder)
    """What the tunnels carried; nothing until a test says so."""

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._sessions = {ACTIVE: _session(1, Role.ACTIVE), STANDBY: _session(2, Role.STANDBY)}
        for session in (ACTIVE, STANDBY):
            self.emit("session.up", session, f"session {session} is established")
            self.announce(session, "192.168.0.0/16", FakePath(communities=("65500:100",)))
            self.announce(session, "192.168.10.0/24", FakePath(as_path="65500 64512"))
            self.announce(session, "2001:db8:2::/48", FakePath(large_communities=("65500:1:2",)))
            self.announce(session, "10.0.5.0/24", FakePath(refused=Reason.VPC_OVERLAP))
        self.announce(ACTIVE, "0.0.0.0/0", FakePath(refused=Reason.DEFAULT_ROUTE))
        self.announce(STANDBY, "172.16.0.0/12", FakePath(as_path="65500 65501 {65502,65503}", med=50))

    # What tests do to it.

    def announce(self, session: str, prefix: str, path: FakePath) -> None:
        """The peer of an established session announces a prefix."""
        if self._sessions[session].state is not SessionState.ESTABLISHED:
            raise AssertionError(f"{session} is not established and cannot announce")
        self.paths.setdefault(parse_prefix(prefix), {})[session] = path

    def session_down(self, session: str, reason: str = "hold timer expired") -> None:
        """The session drops; its paths go with it and traffic moves if it carried any."""
        before = self._carrying()
        view = self._sessions[session]
        error = SessionError(time=self.now, text=reason, code=4, subcode=0, direction="sent")
        self._sessions[session] = replace(
            view,
            state=SessionState.ACTIVE,
            since=self.now,
            flap_count=view.flap_count + 1,
            negotiated=None,
            last_error=error,
        )
        for known in list(self.paths):
            self.paths[known].pop(session, None)
            if not self.paths[known]:
                del self.paths[known]
        self.emit(
            "session.down", session, f"session {session} went down: {reason}", {"code": 4, "subcode": 0}
        )
        self._note_move(before, reason)

    def session_up(self, session: str) -> None:
        """The session is established again, without any path yet."""
        before = self._carrying()
        view = self._sessions[session]
        self._sessions[session] = replace(
            view,
            state=SessionState.ESTABLISHED,
            since=self.now,
            established_count=view.established_count + 1,
            negotiated=NEGOTIATED,
        )
        self.emit("session.up", session, f"session {session} is established")
        self._note_move(before, "failback")

    def emit(self, kind: EventKind, subject: str, message: str, data: dict[str, Any] | None = None) -> None:
        """Appends to the event log."""
        severity: Literal["info", "warning"] = "warning" if kind.endswith(("down", "switchover")) else "info"
        number = self.log[-1].id + 1 if self.log else 1
        self.log.append(EventView(number, self.now, kind, severity, subject, message, data or {}))

    async def wake(self) -> None:
        """Lets subscribers see what `emit` appended."""
        async with self._changed:
            self._changed.notify_all()

    # The port.

    def sessions(self) -> tuple[SessionView, ...]:
        return tuple(self.session(name) for name in self._sessions)

    def session(self, session: str) -> SessionView:
        if session not in self._sessions:
            raise NotFound("BGP session", session, tuple(self._sessions))
        view = self._sessions[session]
        mine = [paths[session] for paths in self.paths.values() if session in paths]
        rejected = sum(path.refused is not None for path in mine)
        counts = PrefixCounts(
            received=len(mine),
            accepted=len(mine) - rejected,
            rejected=rejected,
            advertised=int(self.auto_propagate and view.state is SessionState.ESTABLISHED),
        )
        return replace(view, prefixes=counts)

    def session_page(self, after: str | None, limit: int) -> Page:
        names = sorted(name for name in self._sessions if after is None or name > after)
        return _keyset(tuple(self.session(name) for name in names[: limit + 1]), limit)

    def tunnel_page(self, after: str | None, limit: int) -> Page:
        names = sorted(name for name in self._sessions if after is None or name > after)
        return _keyset(tuple(self._tunnel(name) for name in names[: limit + 1]), limit)

    def tunnel(self, tunnel: str) -> TunnelView:
        if tunnel not in self._sessions:
            raise NotFound("tunnel", tunnel, tuple(self._sessions))
        return self._tunnel(tunnel)

    def tunnel_history(self, tunnel: str, window: HistoryWindow) -> HistoryView:
        self.tunnel(tunnel)
        return self.recorder.view(SessionId(tunnel), window, self.now)

    def connections(self) -> tuple[ConnectionView, ...]:
        return (self.connection(CONNECTION),)

    def connection(self, name: str) -> ConnectionView:
        if name != CONNECTION:
            raise NotFound("VPN connection", name, (CONNECTION,))
        return ConnectionView(
            name=name,
            gateway=GATEWAY,
            local_asn=65530,
            mode=self.mode,
            choice=self.choice,
            carrying=self._carrying(),
            switchovers=self.switchovers,
            last_switchover=self.last_switchover,
            last_switchover_reason=self.last_switchover_reason,
            tunnels=tuple(self._tunnel(session) for session in self._sessions),
        )

    def gateways(self) -> tuple[GatewayView, ...]:
        return (self.gateway(GATEWAY),)

    def gateway(self, name: str) -> GatewayView:
        if name != GATEWAY:
            raise NotFound("VPN gateway", name, (GATEWAY,))
        return GatewayView(
            name=name,
            vpc=VPC,
            addresses=("198.51.100.1", "198.51.100.3"),
            auto_propagate=self.auto_propagate,
            status="active",
            connections=(CONNECTION,),
            routes_learned=sum(
                any(p.refused is None for p in paths.values()) for paths in self.paths.values()
            ),
            routes_installed=self._installed(),
            advertised=("10.0.0.0/16",) if self.auto_propagate else (),
            etag=f"g{self.generation}",
        )

    def vpcs(self) -> tuple[VpcView, ...]:
        return (self.vpc(VPC),)

    def vpc(self, name: str) -> VpcView:
        if name != VPC:
            raise NotFound("VPC", name, (VPC,))
        return VpcView(name, ("10.0.0.0/16",), TABLE, GATEWAY, self._installed())

    async def routes(
        self, gateway: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        return self.routes_now(gateway, filter, limit, cursor)

    def routes_now(self, gateway: str, filter: RouteFilter, limit: int, cursor: str | None) -> Page:
        """As `routes`."""
        self.gateway(gateway)
        wanted = understood(filter, list(self._sessions))
        return _page([self._route(prefix) for prefix in self._matching(wanted)], wanted, limit, cursor)

    async def dump(
        self, gateway: str, which: Literal["received", "best"], families: tuple[Family, ...]
    ) -> AsyncGenerator[bytes, None]:
        if self.dumping:
            raise TooManyDumps("4 dumps are being read already; wait until one of them is through")
        peers = [Peer(parse_address(s.peer_address), bytes(4), s.peer_asn) for s in self.sessions()]
        yield peer_index_table(self.now, bytes((198, 51, 100, 1)), self.gateway(gateway).name, peers)
        self.dumping += 1
        try:
            for number, prefix in enumerate(sorted(p for p in self.paths if prefix_family(p) in families)):
                found = sorted(self.paths[prefix])[: 1 if which == "best" else None]
                entries = [rib_entry([ACTIVE, STANDBY].index(s), int(self.now), _DUMPED) for s in found]
                yield rib_record(self.now, number, prefix, entries)
        finally:
            self.dumping -= 1

    async def table_routes(
        self, vpc: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        self.vpc(vpc)
        wanted = understood(filter, list(self._sessions))
        rows = [self._table_route(self._route(prefix)) for prefix in self._matching(wanted)]
        return _page([row for row in rows if row is not None], wanted, limit, cursor)

    async def set_auto_propagate(
        self, gateway: str, on: bool, if_match: str | None, actor: Actor = SYSTEM
    ) -> GatewayView:
        view = self.gateway(gateway)
        if if_match is not None and if_match != view.etag:
            raise PreconditionFailed(f"the ETag of {gateway} is now {view.etag!r}")
        if on != self.auto_propagate:
            self.auto_propagate = on
            self.generation += 1
            self.emit("gateway.propagation", gateway, f"propagation is {'on' if on else 'off'}", {"on": on})
            await self.wake()
        return self.gateway(gateway)

    async def switch(
        self,
        connection: str,
        mode: SwitchMode,
        dry_run: bool,
        actor: Actor = SYSTEM,
        reason: str | None = None,
    ) -> SwitchPlan:
        self.connection(connection)
        before, old = self._carrying(), self.mode
        known = None if self.choice is None else self.choice.reason
        changed = mode is not old or (mode is not SwitchMode.AUTO and reason not in (None, known))
        self.mode = mode
        after = self._carrying()
        wanted = {SwitchMode.ACTIVE: ACTIVE, SwitchMode.STANDBY: STANDBY}.get(mode)
        moved = self._installed() if after != before else 0
        note = f"traffic moves from {before} to {after}" if after != before else f"traffic stays on {after}"
        if wanted is not None and wanted != after:
            note = f"{wanted} is down, so {note}"
        if dry_run:
            self.mode = old
        elif changed:
            self.choice = None if mode is SwitchMode.AUTO else ChoiceView(actor.name, self.now, reason)
            self.emit("connection.operator_switch", connection, f"switched to {mode}", {"mode": mode.value})
            self._note_move(before, "operator")
            await self.wake()
        drained = {SwitchMode.ACTIVE: STANDBY, SwitchMode.STANDBY: ACTIVE}.get(mode)
        return SwitchPlan(connection, mode, before, after, moved, int(moved > 0), changed, note, drained)

    async def diagnose(self, connection: str, tunnel: int | None = None) -> Diagnosis:
        """The active tunnel's peer has another ASN; the standby works."""
        self.connection(connection)
        idents = [f"{connection}-tunnel{number}" for number in ((1, 2) if tunnel is None else (tunnel,))]
        for ident in idents:
            self.tunnel(ident)
        return Diagnosis(connection, self.now, 1.25, "tunnel 1 (active): …", tuple(map(diagnosed, idents)))

    def _events(
        self, after: int, before: int | None = None, wanted: EventFilter = EVERY_EVENT
    ) -> tuple[EventView, ...]:
        between = (e for e in self.log if e.id > after and (before is None or e.id < before))
        return tuple(filter(wanted.takes, between))

    async def event_page(self, after: int, limit: int, filter: EventFilter) -> tuple[EventView, ...]:
        return self._events(after, None, filter)[:limit]

    async def latest_events(
        self, before: int | None, limit: int, filter: EventFilter, after: int = 0
    ) -> tuple[EventView, ...]:
        return self._events(after, before, filter)[-limit:]

    def bmp_stations(self) -> tuple[BmpStationView, ...]:
        """One that takes everything, one that cannot be reached."""
        told = ("loc-rib", "pre-policy")
        return (
            BmpStationView(
                *("192.0.2.9:1790", "connected", self.now, told, len(self._sessions) + 1, 0, 0, 1, 12, 3456),
                *(None, None),
            ),
            BmpStationView(
                *("[2001:db8::9]:1790", "waiting", self.now, told, 0, 0, 0, 0, 0, 0),
                *("no connection: Connection refused", self.now),
            ),
        )

    async def subscribe(self, after: int | None) -> AsyncIterator[EventView]:
        seen = (self.log[-1].id if self.log else 0) if after is None else after
        self.subscribers += 1
        try:
            while True:
                for event in self._events(seen):
                    seen = event.id
                    yield event
                async with self._changed:
                    while not self.log or self.log[-1].id <= seen:
                        await self._changed.wait()
        finally:
            self.subscribers -= 1

    def restart_plan(self, tunnel: str) -> RestartPlan:
        if self.tunnel(tunnel).ipsec is None:
            raise NotMade(f"the tunnel {tunnel} is external: somebody else makes {tunnel}")
        carrying = self._carrying() == tunnel
        other = next((ident for ident in self._live() if ident != tunnel), None)
        moved = self._installed() if carrying and other else 0
        lost = self._installed() if carrying and not other else 0
        return RestartPlan(tunnel, CONNECTION, carrying, other, moved, lost, f"traffic moves to {other}")

    async def restart_tunnel(self, tunnel: str) -> TunnelView:
        if self.tunnel(tunnel).ipsec is None:
            raise NotMade(f"the tunnel {tunnel} is external: somebody else makes {tunnel}")
        self.restarts.append(tunnel)
        self.emit("ipsec.down", tunnel, "down: restarted by the operator")
        return self.tunnel(tunnel)

    def ready(self) -> ReadyView:
        return ReadyView(all(ok for ok, _ in self.checks.values()), self.checks)

    async def metrics(self) -> bytes:
        lines = ["# TYPE bgpsvc_session_up gauge"]
        for view in self.sessions():
            up = int(view.state is SessionState.ESTABLISHED)
            lines.append(f'bgpsvc_session_up{{session="{view.id}"}} {up}')
        return ("\n".join(lines) + "\n").encode()

    # Inside.

    def _live(self) -> list[str]:
        return [s for s, view in self._sessions.items() if view.state is SessionState.ESTABLISHED]

    def _order(self) -> list[str]:
        return [STANDBY, ACTIVE] if self.mode is SwitchMode.STANDBY else [ACTIVE, STANDBY]

    def _carrying(self) -> str | None:
        return next((session for session in self._order() if session in self._live()), None)

    def _note_move(self, before: str | None, reason: str) -> None:
        after = self._carrying()
        if after == before:
            return
        self.switchovers += 1
        self.last_switchover, self.last_switchover_reason = self.now, reason
        kind: EventKind = "connection.failback" if after == ACTIVE else "connection.switchover"
        if after is None:
            kind = "connection.no_live_tunnel"
        self.emit(kind, CONNECTION, f"traffic moved from {before} to {after}: {reason}")

    def _tunnel(self, session: str) -> TunnelView:
        view = self._sessions[session]
        up = view.state is SessionState.ESTABLISHED
        return TunnelView(
            id=session,
            connection=CONNECTION,
            gateway=GATEWAY,
            tunnel=view.tunnel,
            role=view.role,
            interface=view.interface,
            link_up=True,
            session_state=view.state,
            state="live" if up else "down",
            state_reason="session established, End-of-RIB received" if up else "the BGP session is down",
            since=view.since,
            carrying=self._carrying() == session,
            local_address=view.local_address,
            peer_address=view.peer_address,
            remote_address=f"198.51.100.{2 * view.tunnel}",
            ipsec=None if session in self.external else self._ipsec(view),
            detection=self._detection(up),
            bfd=_bfd(up, view.since),
            hold_down=Span(5.0),
        )

    @staticmethod
    def _detection(up: bool) -> tuple[DetectionView, ...]:
        bfd = DetectionView("bfd", True, 150, "up", "3 packets, one every 50 ms")
        if not up:
            bfd = DetectionView("bfd", False, None, "waiting", "the peer has not answered yet")
        hold = DetectionView(
            "hold_time", up, 30000 if up else None, "up" if up else "down", "the BGP session"
        )
        return (bfd, hold)

    def _ipsec(self, view: SessionView) -> IpsecState:
        known = self.ipsec_errors.get(view.id)
        status = IpsecStatus.IPSEC_SA_ESTABLISHED if known is None else IpsecStatus.IKE_SA_NOT_ESTABLISHED
        return IpsecState(
            tunnel=SessionId(view.id),
            driver="userspace",
            interface=view.interface,
            status=status,
            reason="ikev2 with the peer" if known is None else known.text,
            since=view.since,
            seen_at=self.now,
            ike=_ike(view.tunnel) if known is None else None,
            last_error=known,
            retry_at=None if known is None else self.now + 4,
            mtu=1422,
            established_count=1 + self.restarts.count(view.id),
        )

    def _installed(self) -> int:
        return sum(self._route(prefix).state == "installed" for prefix in self.paths)

    def _matching(self, wanted: RouteFilter) -> Iterator[Prefix]:
        for prefix in _by_prefix(sorted(self.paths, key=lambda p: (len(p), p)), wanted):
            paths = self.paths[prefix]
            if wanted.family and prefix_family(prefix).label != wanted.family:
                continue
            if wanted.session and wanted.session not in paths:
                continue
            if wanted.asn and not any(_has_asn(path, wanted.asn) for path in paths.values()):
                continue
            if wanted.community and not any(
                wanted.community in path.communities + path.large_communities for path in paths.values()
            ):
                continue
            if wanted.state and self._route(prefix).state != wanted.state:
                continue
            yield prefix

    def _route(self, prefix: Prefix) -> RouteView:
        paths = self.paths[prefix]
        ranked = [s for s in self._order() if s in paths and paths[s].refused is None]
        used = ranked[0] if ranked else None
        refused = [s for s in paths if s not in ranked]
        reason = paths[refused[0]].refused if used is None else None
        if used is not None and not self.auto_propagate:
            reason = Reason.PROPAGATION_OFF
        return RouteView(
            prefix=format_prefix(prefix),
            family=prefix_family(prefix).label,  # type: ignore[arg-type]
            gateway=GATEWAY,
            vpc=VPC,
            state="installed" if reason is None else "not_installed",
            reason=reason,
            reason_text=reason.text if reason else None,
            session=used,
            interface=self._sessions[used].interface if used else None,
            nexthop_group=0x20000000 + len(ranked) if used else None,
            candidates=tuple(
                self._candidate(prefix, session, rank, used)
                for rank, session in [*enumerate(ranked, 1), *((None, s) for s in refused)]
            ),
        )

    def _candidate(self, prefix: Prefix, session: str, rank: int | None, used: str | None) -> CandidateView:
        path, view = self.paths[prefix][session], self._sessions[session]
        lost = Reason.OPERATOR_PREFERENCE if self.mode is SwitchMode.STANDBY else Reason.LOCAL_PREF
        reason = path.refused or (None if session == used else lost)
        v6 = prefix_family(prefix) is Family.IPV6
        return CandidateView(
            rank=rank,
            session=session,
            role=view.role,
            next_hop=f"2001:db8:ffff:{view.tunnel}::2" if v6 else view.peer_address,
            as_path=path.as_path,
            origin="igp",
            med=path.med,
            local_pref=LOCAL_PREF[session],
            communities=path.communities,
            large_communities=path.large_communities,
            extended_communities=(),
            stale=False,
            in_use=session == used,
            reason=reason,
            reason_text=reason.text if reason else None,
        )

    def _table_route(self, route: RouteView) -> TableRouteView | None:
        if route.state != "installed" or route.session is None or route.nexthop_group is None:
            return None
        ranked = [c for c in route.candidates if c.rank]
        return TableRouteView(
            prefix=route.prefix,
            family=route.family,
            vpc=VPC,
            table=TABLE,
            metric=100,
            nexthop_group=route.nexthop_group,
            connection=CONNECTION,
            session=route.session,
            interface=route.interface or "",
            next_hop=ranked[0].next_hop,
            backup_session=ranked[1].session if len(ranked) > 1 else None,
        )


def _session(tunnel: int, role: Role) -> SessionView:
    return SessionView(
        id=f"{CONNECTION}-tunnel{tunnel}",
        connection=CONNECTION,
        gateway=GATEWAY,
        tunnel=tunnel,
        role=role,
        interface=f"t{tunnel}",
        local_address=f"169.254.{tunnel}0.1",
        peer_address=f"169.254.{tunnel}0.2",
        local_asn=65530,
        peer_asn=65500,
        state=SessionState.ESTABLISHED,
        since=START,
        established_count=1,
        flap_count=0,
        hold_time_configured=30,
        negotiated=NEGOTIATED,
        prefixes=PrefixCounts(),
        messages=MessageCounts(updates_received=5, prefixes_announced=5, end_of_rib_received=2),
        last_error=None,
        end_of_rib=True,
    )


def _bfd(up: bool, since: float) -> BfdView:
    state: Literal["up", "down"] = "up" if up else "down"
    every, detection = Span(50.0), Span(150.0)
    return BfdView(
        *(state, state, "none", "none", 7, 8 * up, every, every, detection, 900, 890, 1, "TTL 64", since, 2)
    )


def _ike(tunnel: int) -> IkeSa:
    child = ChildSa(
        unique_id=tunnel,
        state="INSTALLED",
        encapsulated=True,
        spi_in=f"c0a1{tunnel:04x}",
        spi_out=f"c0b2{tunnel:04x}",
        encryption="aes256",
        authentication="sha256",
        pfs="group14",
        bytes_in=8400,
        bytes_out=9240,
        packets_in=100,
        packets_out=110,
        installed_at=START,
        rekey_at=START + 82800,
        expires_at=START + 86400,
        local_selectors=("0.0.0.0/0",),
        remote_selectors=("0.0.0.0/0",),
    )
    local, remote = f"198.51.100.{2 * tunnel - 1}", f"198.51.100.{2 * tunnel}"
    return IkeSa(
        unique_id=tunnel,
        version="ikev2",
        state="ESTABLISHED",
        initiator=True,
        local_address=local,
        local_port=4500,
        local_id=local,
        remote_address=remote,
        remote_port=4500,
        remote_id=remote,
        spi_initiator=f"{tunnel:016x}",
        spi_responder=f"f{tunnel:015x}",
        nat_local=True,
        nat_remote=True,
        encryption="aes256",
        authentication="sha256",
        group="group14",
        established_at=START,
        rekey_at=START + 82800,
        children=(child,),
    )


def _has_asn(path: FakePath, asn: int) -> bool:
    return str(asn) in path.as_path.replace("{", " ").replace("}", " ").replace(",", " ").split()


def _by_prefix(known: list[Prefix], wanted: RouteFilter) -> list[Prefix]:
    if wanted.prefix is None:
        return known
    try:
        if wanted.match in ("best", "covering") and "/" not in wanted.prefix:
            address = parse_address(wanted.prefix)
            target = pack_prefix(address, len(address) * 8)
        else:
            target = parse_prefix(wanted.prefix)
    except ValueError as error:
        raise InvalidQuery("prefix", str(error)) from None
    if wanted.match == "exact":
        return [p for p in known if p == target]
    if wanted.match == "longer":
        return [p for p in known if covers(target, p)]
    covering = [p for p in known if covers(p, target)]
    return covering if wanted.match == "covering" else covering[-1:]


def _keyset(items: tuple[Any, ...], limit: int) -> Page:
    """Of items that may be one more than the page has."""
    return Page(items[:limit], items[limit - 1].id if len(items) > limit else None)


def _page(rows: list[Any], filter: RouteFilter, limit: int, cursor: str | None) -> Page:
    start = 0
    if cursor is not None:
        names = [row.prefix for row in rows]
        if cursor not in names:
            raise InvalidQuery("cursor", "is not a cursor of this list")
        start = names.index(cursor) + 1
    items = rows[start : start + limit]
    more = start + limit < len(rows)
    return Page(tuple(items), items[-1].prefix if more else None, len(rows))
