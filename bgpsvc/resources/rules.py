"""Rules that look at more than one field. Each takes a draft and yields what is wrong with it.

Rules within one resource come first, those between resources after them; `resources.models` names the
rules of each model. A rule says nothing where a value that it needs was refused already.
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
    """Two tunnels, each with `bgp` where BGP is enabled."""
    count = connection.count("tunnels")
    if count == 1:
        detail = "one tunnel given; the legacy single-tunnel connection is not supported by this version"
        yield Fault(
            connection.at("tunnels"), detail, "exactly two tunnels: first the active, then the standby"
        )
    elif count is not None and count != 2:
        allowed = "exactly two tunnels: first the active, then the standby"
        yield Fault(connection.at("tunnels"), f"{count} given", allowed)
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


# Between resources


def unique_names(intent: Draft) -> Iterator[Fault]:
    """A name is used once per kind."""
    for kind in ("vpcs", "vpn_gateways", "customer_gateways", "vpn_connections"):
        seen: set[str] = set()
        for item in intent.sections(kind):
            name = item.get("name", str)
            if name in seen:
                yield Fault(
                    item.at("name"), f"is the name of another one of {kind} already", "a name of its own"
                )
            if name is not None:
                seen.add(name)


def references(intent: Draft) -> Iterator[Fault]:
    """What is referred to by name exists. The names of refused resources count: they are meant to exist."""

    def check(item: Draft, key: str, kind: str) -> Iterator[Fault]:
        name = item.get(key, str)
        if name is None or intent.count(kind) is None:
            return
        written = (other.written("name") for other in intent.sections(kind))
        names = list(dict.fromkeys(text for text in written if text is not None))
        if name not in names:
            yield Fault(
                item.at(key), f"is not among {kind}", " | ".join(names[:20]) or f"nothing, {kind} is empty"
            )

    for gateway in intent.sections("vpn_gateways"):
        yield from check(gateway, "vpc", "vpcs")
    for connection in intent.sections("vpn_connections"):
        yield from check(connection, "vpn_gateway", "vpn_gateways")
        for tunnel in connection.sections("tunnels"):
            yield from check(tunnel, "customer_gateway", "customer_gateways")


def one_owner(intent: Draft) -> Iterator[Fault]:
    """Route tables belong to one VPC, VPCs to one gateway, public addresses and interfaces to one user."""
    tables: dict[int, str | None] = {}
    for vpc in intent.sections("vpcs"):
        table = vpc.get("route_table", int)
        if table in tables:
            yield Fault(
                vpc.at("route_table"), f"table {table} is that of VPC {tables[table]}", "a table of its own"
            )
        elif table is not None:
            tables[table] = vpc.written("name")
    owners: dict[str, str | None] = {}
    addresses: dict[IPv4Address, Draft] = {}
    for gateway in intent.sections("vpn_gateways"):
        vpc_name = gateway.get("vpc", str)
        if vpc_name in owners:
            detail = f"the VPC has the VPN gateway {owners[vpc_name]} already"
            yield Fault(gateway.at("vpc"), detail, "one VPN gateway for each VPC")
        elif vpc_name is not None:
            owners[vpc_name] = gateway.written("name")
        for path, address in gateway.items("addresses", IPv4Address):
            if addresses.setdefault(address, gateway) is not gateway:
                detail = f"is an address of VPN gateway {addresses[address].written('name')}"
                yield Fault(path, detail, "addresses of its own")
    yield from _interfaces(intent)


def _interfaces(intent: Draft) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for connection in intent.sections("vpn_connections"):
        for number, tunnel in enumerate(connection.sections("tunnels"), 1):
            interface = tunnel.get("interface", str)
            if interface in seen:
                yield Fault(
                    tunnel.at("interface"), f"is used by {seen[interface]}", "an interface of its own"
                )
            elif interface is not None:
                seen[interface] = f"tunnel {number} of {connection.written('name')}"


def bgp_needs_asn(intent: Draft) -> Iterator[Fault]:
    """A connection with BGP needs customer gateways with an ASN."""
    customers = {item.get("name", str): item for item in intent.sections("customer_gateways")}
    for connection in intent.sections("vpn_connections"):
        if not connection.get("enable_bgp", bool):
            continue
        names = [tunnel.get("customer_gateway", str) for tunnel in connection.sections("tunnels")]
        for name in dict.fromkeys(names):
            customer = customers.get(name) if name is not None else None
            if customer is not None and customer.absent("asn"):
                detail = f"customer gateway {name} has no asn, and BGP needs the ASN of the peer"
                yield Fault(connection.at("enable_bgp"), detail, f"false, or give {name} an asn")


def other_side(intent: Draft) -> Iterator[Fault]:
    """The customer gateway of a tunnel is not the VPN gateway itself."""
    customers = {item.get("name", str): item for item in intent.sections("customer_gateways")}
    gateways = {item.get("name", str): item for item in intent.sections("vpn_gateways")}
    for connection in intent.sections("vpn_connections"):
        gateway = gateways.get(connection.get("vpn_gateway", str) or "")
        own = {address for _, address in gateway.items("addresses", IPv4Address)} if gateway else set()
        for tunnel in connection.sections("tunnels"):
            customer = customers.get(tunnel.get("customer_gateway", str) or "")
            if customer is not None and customer.get("address", IPv4Address) in own:
                detail = "has an address of the connection's own VPN gateway"
                yield Fault(tunnel.at("customer_gateway"), detail, "a customer gateway on the other side")


def tunnel_cidrs(intent: Draft) -> Iterator[Fault]:
    """Tunnel CIDRs are unique per VPN gateway and outside the CIDRs of its VPC."""
    vpcs = {item.get("name", str): item for item in intent.sections("vpcs")}
    inside: dict[str, list[IPNetwork]] = {}
    for gateway in intent.sections("vpn_gateways"):
        vpc = vpcs.get(gateway.get("vpc", str) or "")
        networks = [network for _, network in vpc.networks("cidrs")] if vpc else []
        inside[gateway.written("name") or ""] = networks
    seen: dict[tuple[str, IPNetwork], str] = {}
    for user, gateway_name, section in tunnel_sections(intent):
        for path, cidr in section.networks("tunnel_cidr"):
            other = seen.setdefault((gateway_name, cidr), user)
            if other != user:
                detail = f"is the tunnel CIDR of {other} on the same VPN gateway"
                yield Fault(path, detail, "a tunnel CIDR of its own")
            for network in inside.get(gateway_name, ()):
                if network.version == cidr.version and network.overlaps(cidr):
                    yield Fault(path, f"overlaps {network} of the VPC", "a network outside the VPC's CIDRs")


def tunnel_sections(intent: Draft) -> Iterator[tuple[str, str, Draft]]:
    """Every `bgp` and `bgp.ipv6` section: (the tunnel in words, name of its VPN gateway, section)."""
    for index, connection in enumerate(intent.sections("vpn_connections")):
        gateway = connection.get("vpn_gateway", str)
        name = connection.written("name") or f"vpn_connections[{index}]"
        for number, tunnel in enumerate(connection.sections("tunnels"), 1):
            bgp = tunnel.section("bgp")
            if bgp is None or gateway is None:
                continue
            yield f"tunnel {number} of {name}", gateway, bgp
            ipv6 = bgp.section("ipv6")
            if ipv6 is not None:
                yield f"tunnel {number} of {name}", gateway, ipv6
