"""The lookup order of the namespace, from an intent: policy rules, and the fixed routes beside them. Pure.

    31990  to a customer gateway's address: main   the tunnels' own packets never follow our routes
    31995  what enters at a VPC's interfaces: its isolation table   the other VPCs' networks are unreachable
    32000  main, without its default route         connected networks and the system's routes first
    32001… from S to D: a connection's table       policy-based routes, 32000 + priority
    32200  the VPC's table of destination-based routes
    32300  the VPC's table                         learned, published and custom routes
    32766  main                                    the system's default route (the kernel's own rule)

A VPC without interfaces serves every packet of the namespace. One with interfaces has its rules once
for each of them, for each tunnel of its VPN gateway, and for what this host sends itself (iif lo), so
what enters elsewhere does not see its tables. Where there are both, what enters at an interface of a
VPC ends before the tables of those without, which move behind:

    32350  what enters at a VPC's interfaces: main, with the system's default route
    32360  the same: a table in which everything is unreachable
    32400… policy-based, 32600 destination-based, 32700 VPC's tables of the VPCs without interfaces

Rules and routes of ours carry protocol 201; others are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from bgpsvc.ids import TableNumbers
from bgpsvc.model import Family, Prefix, pack_prefix, prefix_family
from bgpsvc.resources import Intent
from bgpsvc.resources.interfaces import interface_of
from bgpsvc.resources.models import Vpc
from bgpsvc.statics import RouteIndex

RT_TABLE_MAIN = 254
PREFERENCE_ENDPOINT = 31990
PREFERENCE_ISOLATION = 31995
PREFERENCE_SYSTEM = 32000
PREFERENCE_POLICY = range(32001, 32101)
PREFERENCE_STATIC = 32200
PREFERENCE_BGP = 32300
PREFERENCE_OWN_DEFAULT = 32350
PREFERENCE_DEAD_END = 32360
BEHIND = 400
"""By how much the rules of VPCs without interfaces move behind those of VPCs with interfaces."""
LOCAL = "lo"
"""As the interface of a rule: what this host sends itself."""

FixedType = Literal["throw", "unreachable"]
"""Of a route that leads nowhere: throw leaves the table, and the lookup goes on with the next rule."""
FixedRoutes = Mapping[int, Mapping[Prefix, FixedType]]
"""Table to its fixed routes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Look into a table, for packets that fit `to`, `source` and `iif` (None: any).

    Routes no longer than `suppress` bits do not count.
    """

    family: Family
    preference: int
    table: int
    suppress: int | None = None
    to: Prefix | None = None
    source: Prefix | None = None
    iif: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyLookup:
    """A policy-based route: packets from `source` to `destination` (of one family) look into `table`."""

    priority: int
    source: Prefix
    destination: Prefix
    table: int


@dataclass(frozen=True, slots=True)
class VpcLookup:
    """Tables of a VPC, and the interfaces at which its packets enter (empty: anywhere).

    `dead_end`: the table that keeps what enters there from the VPCs without interfaces, if there are any.
    """

    table: int
    destinations: int | None = None
    policies: tuple[PolicyLookup, ...] = ()
    isolation: int | None = None
    interfaces: tuple[str, ...] = ()
    dead_end: int | None = None


@dataclass(frozen=True, slots=True)
class CustomRoute:
    """A custom route of a VPC's table: to `next_hop` (packed), over `interface`; a blackhole without both."""

    name: str
    table: int
    prefix: Prefix
    next_hop: bytes | None = None
    interface: str | None = None


def lookups(intent: Intent, numbers: TableNumbers) -> list[VpcLookup]:
    """The VPCs of an intent that have routes of ours: those with a VPN gateway or custom routes."""
    index = RouteIndex(intent)
    vpcs = _routed(intent, index)
    dead_end = numbers.dead_end() if _mixed(vpcs) else None
    return [_lookup(intent, vpc, index, numbers, dead_end if vpc.interfaces else None) for vpc in vpcs]


def _routed(intent: Intent, index: RouteIndex) -> list[Vpc]:
    return [v for v in intent.vpcs if index.custom(v.name) or intent.gateway_of_vpc(v.name) is not None]


def _mixed(vpcs: Collection[Vpc]) -> bool:
    """Some have interfaces and some have not."""
    return len({bool(vpc.interfaces) for vpc in vpcs}) == 2


def _lookup(
    intent: Intent, vpc: Vpc, index: RouteIndex, numbers: TableNumbers, dead_end: int | None
) -> VpcLookup:
    gateway = intent.gateway_of_vpc(vpc.name)
    name = None if gateway is None else gateway.name
    return VpcLookup(
        table=vpc.route_table,
        destinations=numbers.destination(vpc.name) if index.destinations(name) else None,
        policies=tuple(
            PolicyLookup(
                route.priority,
                packed(route.source),
                packed(route.destination),
                numbers.policy(route.vpn_connection),
            )
            for route in index.policies(name)
            if route.source.version == route.destination.version
        ),
        isolation=numbers.isolation(vpc.name) if vpc.interfaces else None,
        interfaces=(*vpc.interfaces, *_tunnel_interfaces(intent, vpc)) if vpc.interfaces else (),
        dead_end=dead_end,
    )


def _tunnel_interfaces(intent: Intent, vpc: Vpc) -> list[str]:
    gateway = intent.gateway_of_vpc(vpc.name)
    connections = intent.connections_of(gateway.name) if gateway is not None else ()
    return [
        interface_of(connection.name, number, tunnel)
        for connection in connections
        for number, tunnel in enumerate(connection.tunnels, 1)
    ]


def endpoints(intent: Intent) -> set[bytes]:
    """Far ends of the tunnels."""
    return {customer.address.packed for customer in intent.customer_gateways}


def wanted(vpcs: Sequence[VpcLookup], far_ends: Collection[bytes]) -> list[Rule]:
    """All rules, to be added in this order.

    The order never lets a route of ours capture a connected network or an endpoint, nor a VPC's packets
    reach another's network.
    """
    if not vpcs:
        return []
    rules = [
        Rule(prefix_family(to), PREFERENCE_ENDPOINT, RT_TABLE_MAIN, to=to)
        for to in sorted(pack_prefix(address, 8 * len(address)) for address in set(far_ends))
    ]
    for family in Family:
        for vpc in vpcs:
            if vpc.isolation is not None:
                rules += [
                    Rule(family, PREFERENCE_ISOLATION, vpc.isolation, iif=interface)
                    for interface in vpc.interfaces
                ]
        rules.append(Rule(family, PREFERENCE_SYSTEM, RT_TABLE_MAIN, suppress=0))
        for vpc in vpcs:
            if vpc.dead_end is not None:
                for iif in vpc.interfaces:
                    rules.append(Rule(family, PREFERENCE_OWN_DEFAULT, RT_TABLE_MAIN, iif=iif))
                    rules.append(Rule(family, PREFERENCE_DEAD_END, vpc.dead_end, iif=iif))
        mixed = any(vpc.dead_end is not None for vpc in vpcs)
        for vpc in sorted(vpcs, key=lambda v: v.table):
            rules += _of_vpc(vpc, family, BEHIND if mixed and not vpc.interfaces else 0)
    return list(dict.fromkeys(rules))


def _of_vpc(vpc: VpcLookup, family: Family, behind: int) -> list[Rule]:
    rules: list[Rule] = []
    entries: tuple[str | None, ...] = (LOCAL, *vpc.interfaces) if vpc.interfaces else (None,)
    for iif in entries:
        rules.append(Rule(family, PREFERENCE_BGP + behind, vpc.table, iif=iif))
        if vpc.destinations is not None:
            rules.append(Rule(family, PREFERENCE_STATIC + behind, vpc.destinations, iif=iif))
        rules += [
            Rule(
                family,
                PREFERENCE_SYSTEM + policy.priority + behind,
                policy.table,
                to=_narrower(policy.destination),
                source=_narrower(policy.source),
                iif=iif,
            )
            for policy in sorted(vpc.policies, key=lambda p: p.priority)
            if prefix_family(policy.destination) is family
        ]
    return rules


def _narrower(prefix: Prefix) -> Prefix | None:
    """None for everything: the kernel does not keep such a condition."""
    return prefix if prefix[-1] else None


def changes(wished: Sequence[Rule], present: Collection[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Rules to add and then rules to delete, each in a safe order.

    Additions come first: a rule that is exchanged for another leaves no gap, through which packets
    would take a route that neither of them allows. Of deletions, what protects goes last. Of two rules that
    are the same one goes.
    """
    standing, asked = set(present), set(wished)
    superfluous = [rule for rule in present if rule not in asked]
    superfluous += (Counter(rule for rule in present if rule in asked) - Counter(asked)).elements()
    return (
        [rule for rule in wished if rule not in standing],
        sorted(superfluous, key=_order_of_deletion),
    )


def _order_of_deletion(rule: Rule) -> tuple[object, ...]:
    given = (rule.to, rule.source, rule.iif, rule.suppress)
    # The kernel may take a rule that says more for one that says less: see `mistaken`.
    conditions = sum(value is not None for value in given)
    return (-rule.preference, rule.family, rule.table, -conditions, *(str(value) for value in given))


def mistaken(rule: Rule, standing: Sequence[Rule]) -> list[Rule]:
    """The rules that the kernel would delete instead of `rule`, in order of `standing`, the kernel's.

    It takes the first one that fits, and a condition that the request does not give fits any value.
    """
    before = standing[: standing.index(rule)] if rule in standing else standing
    return [other for other in before if _fits(other, rule)]


def _fits(other: Rule, rule: Rule) -> bool:
    if (other.family, other.preference, other.table) != (rule.family, rule.preference, rule.table):
        return False
    pairs = ((rule.to, other.to), (rule.source, other.source), (rule.iif, other.iif))
    return all(asked in (None, has) for asked, has in (*pairs, (rule.suppress, other.suppress)))


def fixed_routes(intent: Intent, numbers: TableNumbers) -> FixedRoutes:
    """Guards and isolation: routes of ours that lead nowhere.

    A guard leaves the tables of learned and destination-based routes for the VPC's own addresses: those
    that no connected or system route covers are not captured by a less specific route. The isolation
    table of a VPC with interfaces makes the networks of all other VPCs, and of their tunnels, unreachable.
    """
    index = RouteIndex(intent)
    tables: dict[int, Mapping[Prefix, FixedType]] = {}
    for vpc in intent.vpcs:
        guards: dict[Prefix, FixedType] = {packed(cidr): "throw" for cidr in vpc.cidrs}
        tables[vpc.route_table] = guards
        gateway = intent.gateway_of_vpc(vpc.name)
        if gateway is not None and index.destinations(gateway.name):
            tables[numbers.destination(vpc.name)] = guards
        if vpc.interfaces:
            others = {p for other in intent.vpcs if other is not vpc for p in networks(intent, other)}
            isolation: dict[Prefix, FixedType] = dict.fromkeys(sorted(others), "unreachable")
            tables[numbers.isolation(vpc.name)] = isolation | dict.fromkeys(networks(intent, vpc), "throw")
    if _mixed(_routed(intent, index)):
        tables[numbers.dead_end()] = dict.fromkeys((Prefix(bytes(5)), Prefix(bytes(17))), "unreachable")
    return tables


def networks(intent: Intent, vpc: Vpc) -> list[Prefix]:
    """CIDRs of a VPC and of the tunnels of its gateway."""
    found = [packed(cidr) for cidr in vpc.cidrs]
    gateway = intent.gateway_of_vpc(vpc.name)
    for connection in intent.connections_of(gateway.name) if gateway is not None else ():
        for bgp in (tunnel.bgp for tunnel in connection.tunnels):
            if bgp is not None:
                found.append(packed(bgp.tunnel_cidr))
                if bgp.ipv6 is not None:
                    found.append(packed(bgp.ipv6.tunnel_cidr))
    return found


def custom_routes(intent: Intent) -> list[CustomRoute]:
    """The custom routes of all VPCs."""
    return [
        CustomRoute(
            route.name,
            intent.vpc(route.vpc).route_table,
            packed(route.destination),
            None if route.blackhole or route.next_hop is None else route.next_hop.packed,
            None if route.blackhole else route.interface,
        )
        for route in intent.vpc_routes
    ]


def packed(network: IPv4Network | IPv6Network) -> Prefix:
    """A network of a resource as the core has it."""
    return pack_prefix(network.network_address.packed, network.prefixlen)
