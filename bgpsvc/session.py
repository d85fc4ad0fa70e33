"""What the engine keeps of one BGP session: its settings, its Adj-RIB-In and its counters."""

from __future__ import annotations

from dataclasses import dataclass, field

from bgpsvc.decide import Candidate
from bgpsvc.events import Negotiated, Notification, OpenMessages
from bgpsvc.model import (
    Attributes,
    Family,
    Prefix,
    Role,
    SessionId,
    SessionState,
    pack_prefix,
    session_id,
)
from bgpsvc.policy import AttributePolicy, Weighed, weigh
from bgpsvc.resources import Intent, Tunnel, VpnConnection
from bgpsvc.resources.interfaces import interface_of
from bgpsvc.resources.models import RoutingPolicy
from bgpsvc.rib import AdjRibIn
from bgpsvc.routing_policy import CompiledPolicy, compile_policy

LINK_LOCAL = pack_prefix(bytes.fromhex("fe80" + "00" * 14), 10)

REMEMBERED_ATTRIBUTES = 200_000


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """A session as configured; addresses packed. Equal settings mean that nothing has to change."""

    id: SessionId
    connection: str
    gateway: str
    number: int
    role: Role
    interface: str
    local_address: bytes
    peer_address: bytes
    remote_address: str
    local_asn: int
    peer_asn: int
    hold_time: int
    graceful_restart: int
    max_prefixes: int
    teardown_at_max: bool
    accept_default: bool
    families: tuple[Family, ...]
    policy: AttributePolicy
    hold_down: float
    tunnel_cidrs: tuple[Prefix, ...]
    import_policy: CompiledPolicy | None = None
    export_policy: CompiledPolicy | None = None

    @property
    def ebgp(self) -> bool:
        """True if the peer is in another AS."""
        return self.local_asn != self.peer_asn


def session_settings(intent: Intent, gateway: str | None = None) -> tuple[SessionSettings, ...]:
    """All sessions of an intent, or of one VPN gateway, in order of connection and tunnel."""
    return tuple(
        _settings(intent, connection, number, tunnel)
        for connection in (intent.vpn_connections if gateway is None else intent.connections_of(gateway))
        if connection.enable_bgp
        for number, tunnel in enumerate(connection.tunnels, start=1)
    )


def _settings(intent: Intent, connection: VpnConnection, number: int, tunnel: Tunnel) -> SessionSettings:
    customer = intent.customer_gateway(tunnel.customer_gateway)
    bgp = tunnel.bgp
    assert bgp is not None, "validation demands bgp where enable_bgp is set"
    assert customer.asn is not None, "validation demands an ASN where enable_bgp is set"
    cidrs = [pack_prefix(bgp.tunnel_cidr.network_address.packed, bgp.tunnel_cidr.prefixlen)]
    next_hops = [pack_prefix(bgp.peer_ip.packed, 32)]
    families = [Family.IPV4]
    if bgp.ipv6 is not None:
        cidr = bgp.ipv6.tunnel_cidr
        cidrs.append(pack_prefix(cidr.network_address.packed, cidr.prefixlen))
        next_hops += [pack_prefix(bgp.ipv6.peer_ip.packed, 128), LINK_LOCAL]
        families.append(Family.IPV6)
    role = Role.ACTIVE if number == 1 else Role.STANDBY
    policy = AttributePolicy(
        local_asn=connection.local_asn,
        ebgp=connection.local_asn != customer.asn,
        role=role,
        prefer_active=connection.prefer_active_tunnel,
        next_hops=tuple(next_hops),
    )
    return SessionSettings(
        id=session_id(connection.name, number),
        connection=connection.name,
        gateway=connection.vpn_gateway,
        number=number,
        role=role,
        interface=interface_of(connection.name, number, tunnel),
        local_address=bgp.local_ip.packed,
        peer_address=bgp.peer_ip.packed,
        remote_address=str(customer.address),
        local_asn=connection.local_asn,
        peer_asn=customer.asn,
        hold_time=bgp.hold_time,
        graceful_restart=bgp.graceful_restart,
        max_prefixes=bgp.max_prefixes,
        teardown_at_max=bgp.max_prefixes_action == "teardown",
        accept_default=connection.accept_default_route,
        families=tuple(families),
        policy=policy,
        hold_down=connection.failback_hold_down,
        tunnel_cidrs=tuple(cidrs),
        import_policy=_compiled(intent.import_policy_of(connection)),
        export_policy=_compiled(intent.export_policy_of(connection)),
    )


def _compiled(policy: RoutingPolicy | None) -> CompiledPolicy | None:
    return None if policy is None else compile_policy(policy)


@dataclass(slots=True)
class Counters:
    """Messages of a session since the daemon started."""

    updates: int = 0
    announced: int = 0
    withdrawn: int = 0
    end_of_rib: int = 0
    notifications_sent: int = 0
    notifications_received: int = 0
    treated_as_withdraw: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class LastError:
    """The last error of a session; `at` in the shell's clock."""

    at: float
    text: str
    notification: Notification | None


@dataclass(slots=True)
class Session:
    """State of one session. Times are of the shell's clock."""

    settings: SessionSettings
    since: float
    adj: AdjRibIn = field(default_factory=AdjRibIn)
    state: SessionState = SessionState.IDLE
    established_count: int = 0
    flap_count: int = 0
    negotiated: Negotiated | None = None
    opens: OpenMessages | None = None
    end_of_rib: set[Family] = field(default_factory=set)
    counters: Counters = field(default_factory=Counters)
    last_error: LastError | None = None
    last_notification: LastError | None = None
    """The last error with a NOTIFICATION since the session was up; failed attempts to connect hide it."""
    keep_stale: bool = False
    """Stale paths may be used: the peer keeps forwarding over a restart, or a refresh is under way."""
    refresh_deadline: float | None = None
    """When the end of the table is no longer waited for, None while nothing is."""
    deferral: float = 0.0
    """How long that wait is; a third of it must have been quiet."""
    last_update: float = 0.0
    over_limit: bool = False
    epoch: int = 0
    """Rises when the session comes, goes, or is refreshed: what was queued before does not count any more."""
    refresh_pending: bool = False
    """A refresh was asked for and its end has not been seen."""
    announced_since: bool = False
    """Something was announced since the session came up or the last refresh was asked for."""
    reset_reason: str | None = None
    """Why it is to be reset, None while it is not; then no End-of-RIB says that the table is whole."""
    reset_at: float | None = None
    """When to look again whether it may be, None while that is not waited for."""
    resetting: bool = False
    """The reset was asked for, and the session has not ended yet."""
    advertised: int = 0
    _weighed: dict[int, tuple[Attributes, Weighed]] = field(default_factory=dict)

    @property
    def id(self) -> SessionId:
        """The session's id."""
        return self.settings.id

    @property
    def established(self) -> bool:
        """True in state Established."""
        return self.state is SessionState.ESTABLISHED

    def weigh(self, attributes: Attributes) -> Weighed:
        """What import makes of received attributes, as far as the prefix does not decide."""
        # They are interned, and looking at them would cost more than all the rest. An id stays theirs as
        # long as they are kept here.
        found = self._weighed.get(id(attributes))
        if found is None:
            if len(self._weighed) > REMEMBERED_ATTRIBUTES:
                self._weighed.clear()
            found = self._weighed[id(attributes)] = attributes, weigh(self.settings, attributes)
        return found[1]

    def candidate(self, attributes: Attributes) -> Candidate:
        """The candidate of a path that import accepted with these attributes."""
        s = self.settings
        return Candidate(
            session=s.id,
            connection=s.connection,
            role=s.role,
            ebgp=s.ebgp,
            peer_address=s.peer_address,
            local_pref=s.policy.local_pref(attributes),
            attributes=attributes,
        )

    def forget_reset(self) -> None:
        """It need not be reset any more."""
        self.reset_reason = self.reset_at = None
        self.resetting = False

    def forget_verdicts(self) -> None:
        """The policy changed."""
        self._weighed.clear()

    @property
    def all_families_ended(self) -> bool:
        """End-of-RIB (or the end of a refresh) was seen for every negotiated family."""
        return self.negotiated is not None and self.end_of_rib.issuperset(self.negotiated.families)
