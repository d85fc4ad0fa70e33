"""Rules that look at several fields of one resource. Each takes a draft and yields what is wrong with it.

`resources.models` names the rules of each model; those between resources are in `resources.cross_rules`.
A rule says nothing where a value that it needs was refused already.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from bgpsvc.resources.draft import Draft, Fault, IPNetwork

_ONE_PAIR = "one local and one remote CIDR, or ikev2"


def hosts4(cidr: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """The two hosts of a /30."""
    return cidr[1], cidr[2]


def hosts6(cidr: IPv6Network) -> tuple[IPv6Address, IPv6Address]:
    """The two hosts of a /126 that we use; its first address is the routers' anycast (RFC 4291 2.6.1)."""
    return cidr[1], cidr[2]


# Within one resource


def vpc_cidrs(vpc: Draft) -> Iterator[Fault]:
    """At least one CIDR, none overlapping another one of the VPC."""
    if vpc.count("cidrs") == 0:
        yield Fault(vpc.at("cidrs"), "a VPC needs a CIDR", "one network or more")
    seen: list[IPNetwork] = []
    for path, cidr in sorted(vpc.networks("cidrs"), key=lambda item: item[0][-1]):
        for other in seen:
            if cidr.version == other.version and cidr.overlaps(other):
                yield Fault(path, f"overlaps {other} of the same VPC", "networks that do not overlap")
        seen.append(cidr)


def gateway_addresses(gateway: Draft) -> Iterator[Fault]:
    """Exactly two public addresses, one per zone, that differ."""
    count = gateway.count("addresses")
    if count is not None and count != 2:
        yield Fault(gateway.at("addresses"), f"{count} given", "exactly two addresses, one for each tunnel")
    seen: set[IPv4Address] = set()
    for path, address in gateway.items("addresses", IPv4Address):
        if address in seen:
            yield Fault(path, "is given twice", "two different addresses")
        seen.add(address)


def gateway_advertise(gateway: Draft) -> Iterator[Fault]:
    """No prefix is published twice."""
    prefixes = gateway.get("advertise", tuple) or ()
    if len(set(prefixes)) == len(prefixes):
        return
    seen: set[IPNetwork] = set()
    for path, prefix in gateway.networks("advertise"):
        if prefix in seen:
            yield Fault(path, "is listed already", "each prefix once")
        seen.add(prefix)


def local_ip(bgp: Draft) -> Iterator[Fault]:
    """The local BGP address is one of the two hosts of the IPv4 tunnel CIDR."""
    cidr, address = bgp.get("tunnel_cidr", IPv4Network), bgp.get("local_ip", IPv4Address)
    if cidr is not None and address is not None and address not in hosts4(cidr):
        yield Fault(bgp.at("local_ip"), f"is not a host of {cidr}", " | ".join(map(str, hosts4(cidr))))


def local_ip6(bgp: Draft) -> Iterator[Fault]:
    """The local BGP address is one of the two hosts of the IPv6 tunnel CIDR."""
    cidr, address = bgp.get("tunnel_cidr", IPv6Network), bgp.get("local_ip", IPv6Address)
    if cidr is not None and address is not None and address not in hosts6(cidr):
        yield Fault(bgp.at("local_ip"), f"is not a host of {cidr}", " | ".join(map(str, hosts6(cidr))))


def ike_mode(ike: Draft) -> Iterator[Fault]:
    """IKEv2 has no aggressive mode."""
    if ike.get("version", str) == "ikev2" and ike.get("mode", str) == "aggressive":
        yield Fault(ike.at("mode"), "only ikev1 has an aggressive mode", "main, or version: ikev1")


def connection_tunnels(connection: Draft) -> Iterator[Fault]:
    """Two tunnels, or one in the legacy form, each with `bgp` where BGP is enabled."""
    count = connection.count("tunnels")
    if count is not None and count not in (1, 2):
        allowed = "two tunnels, first the active, then the standby; or one, the legacy form"
        yield Fault(connection.at("tunnels"), f"{count} given", allowed)
    if count == 2 and connection.section("health_check") is not None:
        detail = "a connection of two tunnels is checked automatically"
        yield Fault(connection.at("health_check"), detail, "none, or a single tunnel")
    if connection.get("enable_bgp", bool):
        for tunnel in connection.sections("tunnels"):
            if tunnel.absent("bgp"):
                detail = "is missing; the connection has enable_bgp: true"
                yield Fault(tunnel.at("bgp"), detail, "a section with tunnel_cidr and local_ip")


def connection_traffic(connection: Draft) -> Iterator[Fault]:
    """CIDR pairs belong to interesting-traffic mode, and several of them need IKEv2."""
    mode = connection.get("routing_mode", str)
    local, remote = connection.count("local_cidrs"), connection.count("remote_cidrs")
    if mode is None or local is None or remote is None:
        return
    for key, count in (("local_cidrs", local), ("remote_cidrs", remote)):
        if mode == "destination" and count:
            allowed = "none, or routing_mode: interesting_traffic"
            yield Fault(connection.at(key), "the selectors of destination mode are 0.0.0.0/0", allowed)
        elif mode == "interesting_traffic" and not count:
            yield Fault(
                connection.at(key), "is missing; routing_mode is interesting_traffic", "one network or more"
            )
    if mode == "interesting_traffic" and local * remote > 1:
        for tunnel in connection.sections("tunnels"):
            ike = tunnel.section("ike")
            if ike is not None and ike.get("version", str) == "ikev1":
                yield Fault(ike.at("version"), "several CIDR pairs need IKEv2", _ONE_PAIR)
