"""Who refers to whom, and who holds what only one may have.

With it a change is judged by what it touches: the resources that refer to the changed ones, those that they
refer to, and those that claim the same thing. The rules between resources compare nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bgpsvc.resources.interfaces import interface_of
from bgpsvc.resources.traffic import AUTOMATIC_PRIORITY, pairs

if TYPE_CHECKING:
    from bgpsvc.resources.models import (
        CustomerGateway,
        DestinationRoute,
        PolicyRoute,
        RoutingPolicy,
        Vpc,
        VpcRoute,
        VpnConnection,
        VpnGateway,
    )

Ref = tuple[str, str]
"""(key of the kind, name)"""
Claim = tuple[object, ...]


def session_parts(session: str) -> tuple[str, int]:
    """Connection and tunnel number of a session's id: (`conn1`, 2) for `conn1-tunnel2`."""
    connection, _, number = session.rpartition("-tunnel")
    return connection, int(number)


def _gateway(item: VpnGateway) -> Iterator[Ref]:
    yield "vpcs", item.vpc
    for policy in (item.import_policy, item.export_policy):
        if policy is not None:
            yield "routing_policies", policy


def _connection(item: VpnConnection) -> Iterator[Ref]:
    yield "vpn_gateways", item.vpn_gateway
    for tunnel in item.tunnels:
        yield "customer_gateways", tunnel.customer_gateway
    for policy in (item.import_policy, item.export_policy):
        if policy is not None:
            yield "routing_policies", policy


def _policy(item: RoutingPolicy) -> Iterator[Ref]:
    for rule in item.rules:
        for session in rule.match.sessions if rule.match is not None else ():
            yield "vpn_connections", session_parts(session)[0]


def _route(item: DestinationRoute | PolicyRoute) -> Iterator[Ref]:
    yield "vpn_gateways", item.vpn_gateway
    yield "vpn_connections", item.vpn_connection


def _vpc_route(item: VpcRoute) -> Iterator[Ref]:
    yield "vpcs", item.vpc


def _nothing(item: Vpc | CustomerGateway) -> Iterator[Ref]:
    return iter(())


_REFERENCES: Mapping[str, Callable[[Any], Iterator[Ref]]] = {
    "vpcs": _nothing,
    "routing_policies": _policy,
    "vpn_gateways": _gateway,
    "customer_gateways": _nothing,
    "vpn_connections": _connection,
    "destination_routes": _route,
    "policy_routes": _route,
    "vpc_routes": _vpc_route,
}


def references(kind: str, resource: Any) -> dict[Ref, None]:
    """What a resource refers to by name, each once."""
    return dict.fromkeys(_REFERENCES[kind](resource))


def _of_vpc(item: Vpc) -> Iterator[Claim]:
    yield "table", item.route_table
    for interface in item.interfaces:
        yield "interface", interface


def _of_gateway(item: VpnGateway) -> Iterator[Claim]:
    yield "vpc", item.vpc
    for address in item.addresses:
        yield "address", address


def _of_customer(item: CustomerGateway) -> Iterator[Claim]:
    yield "peer", item.address


def _of_connection(item: VpnConnection) -> Iterator[Claim]:
    for number, tunnel in enumerate(item.tunnels, 1):
        yield "interface", interface_of(item.name, number, tunnel)
        if tunnel.bgp is not None:
            yield "tunnel", item.vpn_gateway, tunnel.bgp.tunnel_cidr
            if tunnel.bgp.ipv6 is not None:
                yield "tunnel", item.vpn_gateway, tunnel.bgp.ipv6.tunnel_cidr
    if item.routing_mode == "interesting_traffic":
        for source, destination in pairs(item.local_cidrs, item.remote_cidrs):
            yield "policy", item.vpn_gateway, AUTOMATIC_PRIORITY, source, destination


_CLAIMS: Mapping[str, Callable[[Any], Iterator[Claim]]] = {
    "vpcs": _of_vpc,
    "vpn_gateways": _of_gateway,
    "customer_gateways": _of_customer,
    "vpn_connections": _of_connection,
    "destination_routes": lambda item: iter((("destination", item.vpn_gateway, item.destination),)),
    "policy_routes": lambda item: iter(
        (("policy", item.vpn_gateway, item.priority, item.source, item.destination),)
    ),
    "vpc_routes": lambda item: iter((("custom", item.vpc, item.destination),)),
}


def claims(kind: str, resource: Any) -> dict[Claim, None]:
    """What a resource holds that others may not hold, or not for the same purpose."""
    of = _CLAIMS.get(kind)
    return {} if of is None else dict.fromkeys(of(resource))


@dataclass(frozen=True, slots=True)
class Index:
    """`users`: what refers to a resource. `owners`: who claims something.

    That is one unless a rule is broken; only a peer's address may be that of several customer gateways.
    """

    users: Mapping[Ref, tuple[Ref, ...]]
    owners: Mapping[Claim, tuple[Ref, ...]]

    def changed(self, gone: Iterable[tuple[Ref, Any]], new: Iterable[tuple[Ref, Any]]) -> Index:
        """The index without some resources and with some others; this one stays as it is."""
        users, owners = dict(self.users), dict(self.owners)
        for ref, resource in gone:
            for used in references(ref[0], resource):
                _remove(users, used, ref)
            for claim in claims(ref[0], resource):
                _remove(owners, claim, ref)
        added_users: dict[Ref, list[Ref]] = {}
        for ref, resource in new:
            for used in references(ref[0], resource):
                added_users.setdefault(used, []).append(ref)
            for claim in claims(ref[0], resource):
                owners[claim] = (*owners.get(claim, ()), ref)
        for used, refs in added_users.items():
            users[used] = (*users.get(used, ()), *refs)
        return Index(users, owners)


EMPTY = Index({}, {})


def _remove(table: dict[Any, tuple[Ref, ...]], key: Any, ref: Ref) -> None:
    rest = tuple(item for item in table[key] if item != ref)
    if rest:
        table[key] = rest
    else:
        del table[key]
