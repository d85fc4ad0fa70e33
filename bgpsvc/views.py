"""What the outside may see of the engine: frozen snapshots.

Views hold plain text and numbers (addresses as text, times as Unix seconds), so that every surface
shows the same words. `bgpsvc.port` says how they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NewType

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
    "bmp.connected",
    "bmp.disconnected",
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
    "recording.failed",
    "recording.resumed",
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


@dataclass(frozen=True, slots=True)
class BmpStationView:
    """A BMP monitoring station. `since`, `last_error_at`: Unix seconds.

    `peers` it was told are up, Loc-RIBs included; of `dumping` their tables are on their way for the first
    time. `pending` prefixes changed and were not told yet. The counters are of all `connections`.
    """

    station: str
    state: Literal["connecting", "connected", "waiting"]
    since: float
    ribs: tuple[str, ...]
    peers: int
    dumping: int
    pending: int
    connections: int
    messages: int
    bytes: int
    last_error: str | None
    last_error_at: float | None
