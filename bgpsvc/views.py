"""What the outside may see of the engine: frozen snapshots, and the port through which API and CLI ask.

Views hold plain text and numbers (addresses as text, times as Unix seconds), so that every surface
shows the same words. `Service` is implemented by `bgpsvc.service`; the tests of the API use a fake.
All its methods are synchronous and quick (bounded work per call) unless they are `async`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NewType, Protocol

from bgpsvc.control import SYSTEM, Actor
from bgpsvc.diagnosis import Diagnosis
from bgpsvc.ipsec.model import Cause as Cause
from bgpsvc.ipsec.model import ChildSa as ChildSa
from bgpsvc.ipsec.model import DriverName as DriverName
from bgpsvc.ipsec.model import IkeSa as IkeSa
from bgpsvc.ipsec.model import IpsecError as IpsecError
from bgpsvc.ipsec.model import IpsecState as IpsecState
from bgpsvc.ipsec.model import IpsecStatus as IpsecStatus
from bgpsvc.model import Reason, Role, SessionState, SwitchMode


@dataclass(frozen=True, slots=True)
class NegotiatedView:
    """What both sides agreed on in OPEN; None-able fields mean `not negotiated`."""

    hold_time: int
    families: tuple[str, ...]
    asn4: bool
    route_refresh: bool
    enhanced_refresh: bool
    message_size: int
    graceful_restart_time: int | None
    graceful_restart_families: tuple[str, ...]
    peer_router_id: str | None
    peer_asn: int | None
    peer_capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrefixCounts:
    """Prefixes of a session. received = accepted + rejected; shed ones are counted in rejected too."""

    received: int = 0
    accepted: int = 0
    rejected: int = 0
    shed: int = 0
    stale: int = 0
    advertised: int = 0


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """Messages of a session as the daemon saw them since it started, and how many it noticed as lost."""

    updates_received: int = 0
    prefixes_announced: int = 0
    prefixes_withdrawn: int = 0
    end_of_rib_received: int = 0
    notifications_sent: int = 0
    notifications_received: int = 0
    treated_as_withdraw: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class SessionError:
    """The last error of a session. code/subcode are those of the NOTIFICATION, None if there was none."""

    time: float
    text: str
    code: int | None = None
    subcode: int | None = None
    direction: Literal["sent", "received"] | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One BGP session (one per tunnel)."""

    id: str
    connection: str
    gateway: str
    tunnel: int
    role: Role
    interface: str
    local_address: str
    peer_address: str
    local_asn: int
    peer_asn: int
    state: SessionState
    since: float
    """When `state` was entered (Unix seconds)."""
    established_count: int
    flap_count: int
    hold_time_configured: int
    negotiated: NegotiatedView | None
    prefixes: PrefixCounts
    messages: MessageCounts
    last_error: SessionError | None
    end_of_rib: bool
    """End-of-RIB was received for every negotiated family."""


TunnelState = Literal["down", "warming", "live"]

Span = NewType("Span", float)
"""A span of time, in the unit that its name or docstring says; a plain float of a view is a point in time."""

DetectionMethod = Literal["link", "bfd", "probe", "dpd", "hold_time", "health_check"]


@dataclass(frozen=True, slots=True)
class BfdView:
    """A BFD session (RFC 5880 6.8.1): states and diagnostics by name, intervals in milliseconds."""

    state: Literal["admin_down", "down", "init", "up"]
    remote_state: Literal["admin_down", "down", "init", "up"]
    diagnostic: str
    remote_diagnostic: str
    local_discriminator: int
    remote_discriminator: int
    transmit_ms: Span
    receive_ms: Span
    detection_ms: Span
    sent: int
    received: int
    rejected: int
    last_rejected: str | None
    since: float
    flaps: int


@dataclass(frozen=True, slots=True)
class DetectionView:
    """One way in which a tunnel's death is noticed.

    `in_force`: it would notice one now. `worst_case_ms`: within which time, None while it is not in force.
    `reason` says in words what it sees, or why it is not in force.
    """

    method: DetectionMethod
    in_force: bool
    worst_case_ms: int | None
    state: Literal["up", "down", "waiting"]
    reason: str


@dataclass(frozen=True, slots=True)
class TunnelView:
    """One tunnel: role, liveness, and whether it carries the connection's traffic now."""

    id: str
    connection: str
    gateway: str
    tunnel: int
    role: Role
    interface: str
    link_up: bool
    session_state: SessionState | None
    """None: the tunnel has no BGP session, its connection does not enable BGP."""
    state: TunnelState
    """down: not used; warming: back, waits for End-of-RIB and hold-down; live: usable."""
    state_reason: str
    since: float
    carrying: bool
    local_address: str | None
    """Inside the tunnel; None if none is configured."""
    peer_address: str | None
    remote_address: str
    """The customer gateway's public address."""
    health: Literal["healthy", "unhealthy"] | None = None
    """Verdict of the ICMP health check; None without one, and before its first verdict."""
    health_reason: str | None = None
    ipsec: IpsecState | None = None
    """IKE and IPsec SAs; None for an external tunnel, whose interface somebody else makes."""
    detection: tuple[DetectionView, ...] = ()
    """How its death would be noticed: the first that is `in_force` is the fastest there is now for the path.

    The link is the last: it says nothing of what is behind this side's interface."""
    bfd: BfdView | None = None
    """None without BFD, and before the guard has told."""
    hold_down: Span = Span(0.0)
    """Seconds that it must be up again before it carries traffic; grows while the tunnel flaps."""
    flapping: bool = False
    """It failed so often lately that its hold-down is longer than configured."""


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """Who chose the tunnel of a connection, when (Unix seconds), and what for, in their words.

    `by` and `at` are None for a choice that an older release stored."""

    by: str | None
    at: float | None
    reason: str | None


HistoryWindow = Literal["15m", "1h", "24h"]
"""How far back a history goes."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The recent past of a tunnel, in intervals of `interval` seconds from `start` on; one value for each.

    None: not known, as before the daemon ran. bytes and packets per second, as the interface counts them: in
    is what came out of the tunnel. `carrying` and `session_up`: the share of the interval (0 to 1) in which
    the tunnel carried its connection's traffic, and its BGP session was established when it was looked at.
    Prefixes as they were at the end of the interval.
    """

    tunnel: str
    window: HistoryWindow
    interval: int
    start: float
    bytes_in: tuple[float | None, ...]
    bytes_out: tuple[float | None, ...]
    packets_in: tuple[float | None, ...]
    packets_out: tuple[float | None, ...]
    carrying: tuple[float | None, ...]
    session_up: tuple[float | None, ...]
    prefixes_received: tuple[int | None, ...]
    prefixes_accepted: tuple[int | None, ...]
    prefixes_advertised: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One VPN connection and its switch."""

    name: str
    gateway: str
    local_asn: int
    mode: SwitchMode
    """What the operator asked for."""
    choice: ChoiceView | None
    """Who asked for it; None in mode `auto`."""
    carrying: str | None
    """Id of the tunnel that carries traffic, None if none is live."""
    switchovers: int
    last_switchover: float | None
    last_switchover_reason: str | None
    tunnels: tuple[TunnelView, ...]


@dataclass(frozen=True, slots=True)
class GatewayView:
    """One VPN gateway. `etag` changes with every change that PATCH can make."""

    name: str
    vpc: str
    addresses: tuple[str, ...]
    auto_propagate: bool
    status: Literal["active", "updating"]
    """updating: routes or advertisements of the last change are still on their way."""
    connections: tuple[str, ...]
    routes_learned: int
    """Prefixes in the Loc-RIB."""
    routes_installed: int
    """Prefixes of ours in the VPC route table."""
    advertised: tuple[str, ...]
    """The first 1000 prefixes advertised to the peers; the sessions have the number."""
    etag: str


@dataclass(frozen=True, slots=True)
class VpcView:
    """One VPC and its kernel route table."""

    name: str
    cidrs: tuple[str, ...]
    route_table: int
    gateway: str | None
    routes_installed: int


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One path of a prefix, as one session announced it."""

    rank: int | None
    """1 is the best candidate; None if the import policy refused the path."""
    session: str
    role: Role
    next_hop: str
    as_path: str
    """As `65500 65501 {65502,65503}`."""
    origin: Literal["igp", "egp", "incomplete"]
    med: int | None
    local_pref: int
    communities: tuple[str, ...]
    large_communities: tuple[str, ...]
    extended_communities: tuple[str, ...]
    stale: bool
    in_use: bool
    """Traffic takes this path now (if the route is installed)."""
    reason: Reason | None
    """Why it is not in use; None for the one in use."""
    reason_text: str | None


RouteState = Literal["installed", "pending", "not_installed", "failed"]


@dataclass(frozen=True, slots=True)
class RouteView:
    """One prefix of a Loc-RIB with every candidate, best first, refused ones last."""

    prefix: str
    family: Literal["ipv4", "ipv6"]
    gateway: str
    vpc: str
    state: RouteState
    reason: Reason | None
    """Why it is not installed; None if it is."""
    reason_text: str | None
    session: str | None
    """Session whose path traffic takes."""
    interface: str | None
    nexthop_group: int | None
    candidates: tuple[CandidateView, ...]


RouteSource = Literal["bgp", "destination_based", "policy_based"]


@dataclass(frozen=True, slots=True)
class TableRouteView:
    """One route of ours in a VPC's kernel table."""

    prefix: str
    family: Literal["ipv4", "ipv6"]
    vpc: str
    table: int
    metric: int
    nexthop_group: int
    connection: str
    session: str
    interface: str
    next_hop: str
    backup_session: str | None
    """Session of the floating backup route, if there is one."""
    source: RouteSource = "bgp"
    """Where it comes from: learned, or a published static route of either kind."""


MatchKind = Literal["exact", "longer", "covering", "best"]


@dataclass(frozen=True, slots=True)
class RouteFilter:
    """Filters combine with AND.

    `prefix` is text. exact: that prefix; longer: it and everything inside it; covering: it and everything
    that contains it; best: longest match of the address (prefix is then an address or a prefix).
    """

    prefix: str | None = None
    match: MatchKind = "exact"
    family: Literal["ipv4", "ipv6"] | None = None
    session: str | None = None
    """Prefixes that have a path of this session."""
    asn: int | None = None
    """Prefixes with a path whose AS path contains this ASN."""
    community: str | None = None
    """`65000:100` or `65000:1:2` (large), or a well-known name such as `no-export`."""
    state: RouteState | None = None
    q: str | None = None
    """Free text: words that stand for the filters above (`bgpsvc.route_search`)."""


@dataclass(frozen=True, slots=True)
class Page:
    """A keyset page. `next_cursor` is opaque text, None on the last page."""

    items: tuple[Any, ...]
    next_cursor: str | None
    matching: int | None = None
    """Items on all pages, where that is known."""


Severity = Literal["info", "warning", "error"]
"""How bad an event is."""
EventKind = Literal[
    "session.up",
    "session.down",
    "session.error",
    "session.state",
    "session.messages_lost",
    "session.prefix_limit",
    "tunnel.live",
    "tunnel.down",
    "tunnel.warming",
    "tunnel.healthy",
    "tunnel.unhealthy",
    "ipsec.up",
    "ipsec.down",
    "ipsec.rekeyed",
    "ipsec.error",
    "charon.up",
    "charon.down",
    "connection.switchover",
    "connection.failback",
    "connection.no_live_tunnel",
    "connection.operator_switch",
    "gateway.propagation",
    "speaker.up",
    "speaker.down",
    "speaker.hung",
    "daemon.restarted",
    "bfd.up",
    "bfd.down",
    "probe.up",
    "probe.down",
    "tunnel.flapping",
    "guard.up",
    "guard.down",
    "guard.switched",
    "guard.error",
    "fib.repair",
    "fib.error",
    "fib.sweep",
    "config.changed",
    "config.reloaded",
    "config.rejected",
    "config.incomplete",
]


@dataclass(frozen=True, slots=True)
class EventView:
    """One entry of the event log; `id` rises by one, so a stream can be resumed."""

    id: int
    time: float
    kind: EventKind
    severity: Severity
    subject: str
    """Name of the resource it is about."""
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filters combine with AND; None leaves a choice open.

    Times are Unix seconds: `since` <= time < `until`."""

    kinds: frozenset[str] | None = None
    subjects: frozenset[str] | None = None
    severities: frozenset[str] | None = None
    since: float | None = None
    until: float | None = None

    def takes(self, event: EventView) -> bool:
        """The event is one of those."""
        return (
            (self.kinds is None or event.kind in self.kinds)
            and (self.severities is None or event.severity in self.severities)
            and (self.subjects is None or event.subject in self.subjects)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
        )


EVERY_EVENT = EventFilter()


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """What an operator switch moves, or would move."""

    connection: str
    mode: SwitchMode
    from_tunnel: str | None
    to_tunnel: str | None
    prefixes_moved: int
    groups_replaced: int
    changed: bool
    note: str
    """One sentence; says so if the wish cannot be followed (the tunnel is down)."""
    drained: str | None = None
    """Tunnel that the peer is asked to avoid as well, so that it may be taken down without loss."""


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """What negotiating a tunnel anew moves, or would move."""

    tunnel: str
    connection: str
    carrying: bool
    """It carries the connection's traffic now."""
    to_tunnel: str | None
    """Tunnel that carries it meanwhile, None if none can."""
    prefixes_moved: int
    """Prefixes whose traffic leads over another tunnel meanwhile."""
    prefixes_lost: int
    """Prefixes whose traffic leads nowhere meanwhile."""
    note: str


@dataclass(frozen=True, slots=True)
class ReadyView:
    """Readiness: every check by name with ok and detail."""

    ready: bool
    checks: Mapping[str, tuple[bool, str]]


class NotFound(LookupError):
    """A resource of that name does not exist. `kind` and `name` say which."""

    def __init__(self, kind: str, name: str, known: Sequence[str] = ()) -> None:
        super().__init__(f"there is no {kind} {name!r}" + (f"; there is {', '.join(known)}" if known else ""))
        self.kind = kind
        self.name = name


class InvalidQuery(ValueError):
    """A filter or cursor cannot be understood. `field` names the parameter."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class NotMade(Exception):
    """What is asked of a tunnel cannot be: the service does not make it, here or yet. The text says why."""


class PreconditionFailed(Exception):
    """The ETag given is not the current one."""


class Service(Protocol):
    """Everything that API and CLI can ask of the running service."""

    def sessions(self) -> tuple[SessionView, ...]: ...

    def session(self, session: str) -> SessionView:
        """Raises NotFound."""

    def session_page(self, after: str | None, limit: int) -> Page:
        """`SessionView`s by id, those behind `after`; `next_cursor` is the last one's id if there are more.

        Costs what the page costs, not what all sessions do; so do `tunnel_page`, and `tunnel`, `session`,
        `connection`, `gateway` and `vpc`, which lists of resources ask for each item of their page."""

    def tunnel_page(self, after: str | None, limit: int) -> Page:
        """`TunnelView`s by id, as `session_page`."""

    def tunnel(self, tunnel: str) -> TunnelView:
        """Raises NotFound."""

    def tunnel_history(self, tunnel: str, window: HistoryWindow) -> HistoryView:
        """What a tunnel carried lately, up to the last interval that is over. Raises NotFound."""

    def connections(self) -> tuple[ConnectionView, ...]: ...

    def connection(self, name: str) -> ConnectionView:
        """Raises NotFound."""

    def gateways(self) -> tuple[GatewayView, ...]: ...

    def gateway(self, name: str) -> GatewayView:
        """Raises NotFound."""

    def vpcs(self) -> tuple[VpcView, ...]: ...

    def vpc(self, name: str) -> VpcView:
        """Raises NotFound."""

    async def routes(
        self, gateway: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        """Loc-RIB of a gateway: a page of RouteView in address order. Raises NotFound, InvalidQuery.

        What takes long waits its turn among other callers, and behind what the same one asked before."""

    async def table_routes(
        self, vpc: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        """VPC route table: a page of TableRouteView in address order, as `routes`."""

    async def set_auto_propagate(
        self, gateway: str, on: bool, if_match: str | None, actor: Actor = SYSTEM
    ) -> GatewayView:
        """Switches propagation of a gateway that a file describes; returns at once, see `status`.

        Raises NotFound, PreconditionFailed.
        """

    async def switch(
        self,
        connection: str,
        mode: SwitchMode,
        dry_run: bool,
        actor: Actor = SYSTEM,
        reason: str | None = None,
    ) -> SwitchPlan:
        """Chooses the tunnel of a connection, or says what that would move. Raises NotFound.

        `reason` says what for: it is shown as long as the choice is in force. The same choice without one
        leaves it as it is."""

    def restart_plan(self, tunnel: str) -> RestartPlan:
        """What `restart_tunnel` would move now. NotFound, NotMade."""

    async def restart_tunnel(self, tunnel: str) -> TunnelView:
        """Ends the SAs of a tunnel and negotiates anew; returns when they are ended. NotFound, NotMade."""

    async def event_page(self, after: int, limit: int, filter: EventFilter) -> tuple[EventView, ...]:
        """The first `limit` events with an id above `after`, oldest first, those that only the database has
        included.

        Raises control.StoreUnavailable if these are needed and it does not answer.
        """

    async def latest_events(
        self, before: int | None, limit: int, filter: EventFilter, after: int = 0
    ) -> tuple[EventView, ...]:
        """The last `limit` events with an id below `before` (None: of all) and above `after`, oldest first.

        Raises as `event_page`.
        """

    async def diagnose(self, connection: str, tunnel: int | None = None) -> Diagnosis:
        """Walks the layers of a connection's tunnels, or of one (1 or 2), and names the first that fails.

        Takes seconds: it sends probes. Raises NotFound.
        """

    def subscribe(self, after: int | None) -> AsyncIterator[EventView]:
        """Endless stream, beginning behind event `after` (with what is still kept) or now."""

    def ready(self) -> ReadyView: ...

    def metrics(self) -> bytes:
        """Prometheus text exposition."""
