"""The resources that an operator describes: frozen values that are valid by construction.

Field types (`resources.fields`) judge single values, `RULES` what concerns several. Both are asked by the
loader, which reports all problems with their place in the file, and by these models themselves,
so that a resource that comes another way (REST, a store) obeys the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bgpsvc.resources import cross_rules, rules
from bgpsvc.resources import fields as f
from bgpsvc.resources.draft import Rule, draft_of
from bgpsvc.resources.index import EMPTY, Index

T = TypeVar("T")


def _items(least: int, most: int | None = None) -> Any:
    """A list that must be given; a rule counts its items, and the JSON Schema says how many there may be."""
    bounds: dict[str, Any] = {"minItems": least}
    return Field(json_schema_extra=bounds if most is None else bounds | {"maxItems": most})


class Resource(BaseModel):
    """Base of all resources: frozen, no unknown keys, secrets never in error texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    RULES: ClassVar[tuple[Rule, ...]] = ()

    def once(self, what: Callable[[Self], T]) -> T:
        """What a pure function makes of this resource: worked out when first asked for, and kept with it."""
        key = f"_{what.__module__}.{what.__qualname__}"  # pydantic takes names with _ for no field
        if key not in self.__dict__:
            self.__dict__[key] = what(self)
        found: T = self.__dict__[key]
        return found

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As of pydantic, but without what was worked out about the original."""
        copied = super().model_copy(update=update, deep=deep)
        for key in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[key]
        return copied

    @model_validator(mode="after")
    def _obeys_rules(self) -> Self:
        if not self.RULES:
            return self
        draft = draft_of(self)
        errors = [
            InitErrorDetails(
                type=PydanticCustomError(
                    "rule", "{detail}", {"detail": fault.message, "allowed": fault.allowed}
                ),
                loc=fault.path,
                input=None,
            )
            for rule in self.RULES
            for fault in rule(draft)
        ]
        if errors:
            raise ValidationError.from_exception_data(type(self).__name__, errors, hide_input=True)
        return self


class Vpc(Resource):
    """A VPC: its networks and the kernel table that holds its learned routes."""

    RULES = (rules.vpc_cidrs, rules.vpc_interfaces)

    name: f.Name
    cidrs: tuple[f.VpcCidr, ...] = _items(1)
    route_table: f.RouteTable = f.DEFAULT_ROUTE_TABLE
    interfaces: tuple[f.InterfaceName, ...] = ()
    """Interfaces of the VPC's networks. With several VPCs in one namespace each names its own: what enters
    there sees the routes of its VPC alone. Without any, the table serves every packet of the namespace."""


class VpnGateway(Resource):
    """A VPN gateway of a VPC, with one public address per tunnel role (the first for the active tunnel)."""

    RULES = (rules.gateway_addresses, rules.gateway_advertise)

    name: f.Name
    vpc: f.Name
    addresses: tuple[f.GatewayAddress, ...] = _items(2, 2)
    auto_propagate: f.Flag = False
    advertise: tuple[f.AdvertisedPrefix, ...] = ()
    """Published routes: advertised beside the VPC's CIDRs while `auto_propagate` is on."""
    router_id: f.RouterId | None = None
    import_policy: f.Name | None = None
    """Routing policy for what peers announce, for connections that name none of their own."""
    export_policy: f.Name | None = None

    @property
    def bgp_identifier(self) -> IPv4Address:
        """BGP Identifier of its sessions (RFC 4271 4.2): `router_id`, by default the first address."""
        return self.router_id or self.addresses[0]


class CustomerGateway(Resource):
    """The other side's public address and, for BGP, its ASN."""

    name: f.Name
    address: f.CustomerAddress
    asn: f.CustomerAsn | None = None


class Ipv6Settings(Resource):
    """IPv6 addresses of a tunnel, for next hops of IPv6 routes."""

    RULES = (rules.local_ip6,)

    tunnel_cidr: f.TunnelCidr6
    local_ip: f.LocalAddress6

    @property
    def peer_ip(self) -> IPv6Address:
        """The other one of the CIDR's two hosts."""
        first, second = rules.hosts6(self.tunnel_cidr)
        return second if self.local_ip == first else first


class BfdSettings(Resource):
    """BFD with the tunnel's peer (RFC 5880; 5881, or 5883 with `multihop`): it notices a dead path.

    Within `interval_ms` times `multiplier`, as far as the peer agrees to the interval. With `key` every
    packet is signed (keyed SHA1, RFC 5880 6.7.4) under `key_id`; it stands there or in `key_file`.
    """

    RULES = (rules.bfd_key,)

    interval_ms: f.BfdInterval = 300
    multiplier: f.Multiplier = 3
    multihop: f.Flag = False
    key_id: f.BfdKeyId | None = None
    key: f.BfdKey | None = None
    key_file: f.FilePath | None = None


class ProbeSettings(Resource):
    """Echo requests to the tunnel's peer; it is dead when `multiplier` of them in a row have no reply."""

    interval_ms: f.ProbeInterval = 1000
    multiplier: f.Multiplier = 3


class BgpSettings(Resource):
    """The BGP session of a tunnel.

    `password` is the TCP MD5 key (RFC 2385), as written or as read from `password_file`. `ttl_security`
    is the number of hops that GTSM allows (RFC 5082), None without GTSM. `graceful_restart` is the Restart
    Time in seconds (RFC 4724), 0 without the capability. `hold_time` is in seconds.

    `bfd` and `probe` watch the path to the peer; without BGP they guard static routes over the tunnel.
    """

    RULES = (rules.local_ip,)

    tunnel_cidr: f.TunnelCidr
    local_ip: f.LocalAddress
    hold_time: f.HoldTime = 30
    password: f.BgpPassword | None = None
    password_file: f.FilePath | None = None
    ttl_security: f.TtlSecurity | None = None
    graceful_restart: f.RestartTime = 120
    max_prefixes: f.PrefixLimit = 1_000_000
    max_prefixes_action: f.LimitAction = "shed"
    passive: f.Flag = False
    bfd: BfdSettings | None = None
    probe: ProbeSettings | None = None
    ipv6: Ipv6Settings | None = None

    @property
    def peer_ip(self) -> IPv4Address:
        """The other one of the CIDR's two hosts."""
        first, second = rules.hosts4(self.tunnel_cidr)
        return second if self.local_ip == first else first


class IkeSettings(Resource):
    """IKE (phase 1). `lifetime` in seconds. Without a pre-shared key one is made with the tunnel."""

    RULES = (rules.ike_mode,)

    version: f.IkeVersion = "ikev2"
    mode: f.IkeMode = "main"
    encryption: f.Encryption = "aes256"
    authentication: f.Authentication = "sha256"
    pfs: f.IkeGroup = "group14"
    lifetime: f.Lifetime = 86400
    local_id: f.PeerId | None = None
    remote_id: f.PeerId | None = None
    pre_shared_key: f.PreSharedKey | None = None
    pre_shared_key_file: f.FilePath | None = None


class IpsecSettings(Resource):
    """IPsec (phase 2). `lifetime` in seconds."""

    encryption: f.Encryption = "aes256"
    authentication: f.Authentication = "sha256"
    pfs: f.IpsecGroup = "group14"
    lifetime: f.Lifetime = 86400


class DpdSettings(Resource):
    """Dead peer detection (RFC 3706). `timeout` in seconds."""

    enabled: f.Flag = True
    timeout: f.DpdTimeout = 30


class Tunnel(Resource):
    """One tunnel. Of the IPsec sections None means: not given, defaults apply.

    With `interface` it is an external one: an interface that somebody else makes and protects. Without, the
    service makes interface and IPsec itself; `mtu` in bytes overrides what path and algorithms leave.
    """

    customer_gateway: f.Name
    interface: f.InterfaceName | None = None
    mtu: f.TunnelMtu | None = None
    bgp: BgpSettings | None = None
    ike: IkeSettings | None = None
    ipsec: IpsecSettings | None = None
    dpd: DpdSettings | None = None
    nat_traversal: f.Flag | None = None


class HealthCheck(Resource):
    """ICMP health check of a single-tunnel connection: echo requests from `source` to `destination`.

    `interval` in seconds; after `retries` requests in a row without a reply the check fails, and
    `on_failure` says whether the connection's static routes go (`revoke_route`) or stay (`reserve_route`).
    """

    RULES = (rules.health_ends,)

    source: f.LocalAddress
    destination: f.LocalAddress
    interval: f.HealthInterval = 3
    retries: f.HealthRetries = 3
    on_failure: f.HealthAction = "revoke_route"


class VpnConnection(Resource):
    """A connection of two tunnels. `tunnels[0]` is the active tunnel, `tunnels[1]` the standby, for ever.

    The legacy form has a single tunnel, and it alone may have a `health_check`. `import_policy` and
    `export_policy` name routing policies; without them those of the VPN gateway apply.

    `failback_hold_down` is in seconds: how long a tunnel that came back must be up before it carries traffic.
    For one that keeps failing it grows, up to `failback_hold_down_max`; one that is no larger turns that off.
    `effect_immediately` negotiates IPsec at once, not when there is traffic for it.
    """

    RULES = (rules.connection_tunnels, rules.connection_traffic)

    name: f.Name
    vpn_gateway: f.Name
    enable_bgp: f.Flag = False
    local_asn: f.Asn = f.DEFAULT_LOCAL_ASN
    prefer_active_tunnel: f.Flag = True
    failback_hold_down: f.HoldDown = 5.0
    failback_hold_down_max: f.HoldDown = 300.0
    accept_default_route: f.Flag = False
    effect_immediately: f.Flag = True
    routing_mode: f.RoutingMode = "destination"
    local_cidrs: tuple[f.AnyNetwork, ...] = ()
    remote_cidrs: tuple[f.StaticDestination, ...] = ()
    import_policy: f.Name | None = None
    export_policy: f.Name | None = None
    health_check: HealthCheck | None = None
    tunnels: tuple[Tunnel, ...] = _items(1, 2)


class PrefixMatch(Resource):
    """Prefixes equal to or inside `prefix` whose length is `ge` to `le`.

    Neither given: that prefix exactly. `ge` alone: up to 32 (128 for IPv6). `le` alone: from its own length.
    """

    RULES = (rules.prefix_lengths,)

    prefix: f.AnyNetwork
    ge: f.PrefixLength | None = None
    le: f.PrefixLength | None = None


class PolicyMatch(Resource):
    """What a rule applies to: all that is given must match; of a list any item.

    `as_path` is a regular expression, searched in the AS path as text (`65500 65501 {65502,65503}`; `_`
    stands for a boundary, as in other routers). `communities` are standard or large ones or well-known names,
    `sessions` ids such as `conn1-tunnel2`.
    """

    prefixes: tuple[PrefixMatch, ...] = ()
    as_path: f.AsPathPattern | None = None
    communities: tuple[f.CommunityText, ...] = ()
    sessions: tuple[f.SessionName, ...] = ()


class PolicyRule(Resource):
    """One rule: what matches is accepted, with these changes, or rejected. Without `match` it takes all.

    `prepend` repeats our own ASN (export) or the neighbour's (import) that many times more.
    """

    RULES = (rules.rejected_unchanged,)

    match: PolicyMatch | None = None
    action: f.PolicyAction = "accept"
    local_preference: f.LocalPreference | None = None
    med: f.Med | None = None
    prepend: f.PrependCount = 0
    add_communities: tuple[f.CommunityText, ...] = ()
    remove_communities: tuple[f.CommunityText, ...] = ()


class RoutingPolicy(Resource):
    """An import or export policy: the first rule that matches decides; `default_action` if none does."""

    name: f.Name
    rules: tuple[PolicyRule, ...] = ()
    default_action: f.PolicyAction = "accept"


class DestinationRoute(Resource):
    """A destination-based (static) route of a VPN gateway; among them the longest match wins.

    `publish` puts it into the VPC's route table as well.
    """

    name: f.Name
    vpn_gateway: f.Name
    destination: f.StaticDestination
    vpn_connection: f.Name
    publish: f.Flag = False


class PolicyRoute(Resource):
    """A policy-based route of a VPN gateway, chosen by source and destination.

    The lowest `priority` wins, whatever the lengths; it comes before all destination-based routes.
    """

    RULES = (rules.policy_route,)

    name: f.Name
    vpn_gateway: f.Name
    source: f.AnyNetwork
    destination: f.StaticDestination
    vpn_connection: f.Name
    priority: f.Priority = 10
    publish: f.Flag = False


class VpcRoute(Resource):
    """A custom route of a VPC's table: to `next_hop` (over `interface` if given), or a `blackhole`.

    `advertise` announces it to the peers beside the VPC's CIDRs while `auto_propagate` is on.
    """

    RULES = (rules.vpc_route,)

    name: f.Name
    vpc: f.Name
    destination: f.StaticDestination
    next_hop: f.AnyAddress | None = None
    interface: f.InterfaceName | None = None
    blackhole: f.Flag = False
    advertise: f.Flag = False


class Intent(Resource):
    """Everything a configuration describes, cross-checked. Lookups by name raise KeyError."""

    RULES: ClassVar[tuple[Rule, ...]] = cross_rules.RULES

    vpcs: tuple[Vpc, ...] = ()
    vpn_gateways: tuple[VpnGateway, ...] = ()
    customer_gateways: tuple[CustomerGateway, ...] = ()
    routing_policies: tuple[RoutingPolicy, ...] = ()
    vpn_connections: tuple[VpnConnection, ...] = ()
    destination_routes: tuple[DestinationRoute, ...] = ()
    policy_routes: tuple[PolicyRoute, ...] = ()
    vpc_routes: tuple[VpcRoute, ...] = ()

    @property
    def index(self) -> Index:
        """Who refers to whom, and who holds what."""
        return self._index

    @cached_property
    def _index(self) -> Index:
        return EMPTY.changed(
            (),
            (
                ((key, name), item)
                for key in cross_rules.KINDS_IN_ORDER
                for name, item in self.of_kind(key).items()
            ),
        )

    @cached_property
    def _kinds(self) -> dict[str, Mapping[str, Resource]]:
        return {}

    def of_kind(self, key: str) -> Mapping[str, Resource]:
        """The resources of a kind (`Kind.key`) by name, in their order."""
        if key not in self._kinds:
            self._kinds[key] = MappingProxyType({item.name: item for item in getattr(self, key)})
        return self._kinds[key]

    def find(self, key: str, name: str) -> Resource | None:
        """The resource of a kind (`Kind.key`) and name."""
        return self.of_kind(key).get(name)

    @cached_property
    def _vpcs(self) -> Mapping[str, Vpc]:
        return MappingProxyType({item.name: item for item in self.vpcs})

    @cached_property
    def _gateways(self) -> Mapping[str, VpnGateway]:
        return MappingProxyType({item.name: item for item in self.vpn_gateways})

    @cached_property
    def _gateway_of_vpc(self) -> Mapping[str, VpnGateway]:
        return MappingProxyType({item.vpc: item for item in self.vpn_gateways})

    @cached_property
    def _customer_gateways(self) -> Mapping[str, CustomerGateway]:
        return MappingProxyType({item.name: item for item in self.customer_gateways})

    @cached_property
    def _connections(self) -> Mapping[str, VpnConnection]:
        return MappingProxyType({item.name: item for item in self.vpn_connections})

    @cached_property
    def _connections_of(self) -> Mapping[str, tuple[VpnConnection, ...]]:
        found: dict[str, list[VpnConnection]] = {item.name: [] for item in self.vpn_gateways}
        for connection in self.vpn_connections:
            found[connection.vpn_gateway].append(connection)
        return MappingProxyType({name: tuple(connections) for name, connections in found.items()})

    @cached_property
    def _policies(self) -> Mapping[str, RoutingPolicy]:
        return MappingProxyType({item.name: item for item in self.routing_policies})

    def routing_policy(self, name: str) -> RoutingPolicy:
        """The routing policy of that name."""
        return self._policies[name]

    def import_policy_of(self, connection: VpnConnection) -> RoutingPolicy | None:
        """The import policy that applies to a connection: its own, or its VPN gateway's."""
        name = connection.import_policy or self._gateways[connection.vpn_gateway].import_policy
        return None if name is None else self._policies[name]

    def export_policy_of(self, connection: VpnConnection) -> RoutingPolicy | None:
        """The export policy that applies to a connection: its own, or its VPN gateway's."""
        name = connection.export_policy or self._gateways[connection.vpn_gateway].export_policy
        return None if name is None else self._policies[name]

    def vpc(self, name: str) -> Vpc:
        """The VPC of that name."""
        return self._vpcs[name]

    def gateway(self, name: str) -> VpnGateway:
        """The VPN gateway of that name."""
        return self._gateways[name]

    def gateway_of_vpc(self, vpc: str) -> VpnGateway | None:
        """The VPN gateway of a VPC; None if it has none. KeyError if there is no such VPC."""
        return self._gateway_of_vpc.get(self._vpcs[vpc].name)

    def customer_gateway(self, name: str) -> CustomerGateway:
        """The customer gateway of that name."""
        return self._customer_gateways[name]

    def connection(self, name: str) -> VpnConnection:
        """The VPN connection of that name."""
        return self._connections[name]

    def connections_of(self, gateway: str) -> tuple[VpnConnection, ...]:
        """The connections of a VPN gateway, in the order of the file."""
        return self._connections_of[gateway]
