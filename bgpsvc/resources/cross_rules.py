"""Rules between resources. Each takes the draft of an `Intent` and yields what is wrong in it.

They compare resources that refer to each other or that claim the same thing (`resources.index`), nothing
else, so that a change can be judged by a draft of what it touches (`PartialDraft`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address

from bgpsvc.resources.draft import Draft, Fault, IPNetwork, PartialDraft
from bgpsvc.resources.fields import DEFAULT_ROUTE_TABLE
from bgpsvc.resources.index import session_parts
from bgpsvc.resources.interfaces import made_name
from bgpsvc.resources.traffic import AUTOMATIC_PRIORITY, pairs

KINDS_IN_ORDER = (
    "vpcs",
    "vpn_gateways",
    "customer_gateways",
    "routing_policies",
    "vpn_connections",
    "destination_routes",
    "policy_routes",
    "vpc_routes",
)
_POLICIES = (("import_policy", "routing_policies"), ("export_policy", "routing_policies"))
_ROUTE = (("vpn_gateway", "vpn_gateways"), ("vpn_connection", "vpn_connections"))
_REFERENCES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "vpn_gateways": (("vpc", "vpcs"), *_POLICIES),
    "vpn_connections": (("vpn_gateway", "vpn_gateways"), *_POLICIES),
    "destination_routes": _ROUTE,
    "policy_routes": _ROUTE,
    "vpc_routes": (("vpc", "vpcs"),),
}


def unique_names(intent: Draft) -> Iterator[Fault]:
    """A name is used once per kind."""
    for kind in KINDS_IN_ORDER:
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
    known = {kind: _names(intent, kind) for kind in KINDS_IN_ORDER}
    for kind, keys in _REFERENCES.items():
        for item in intent.sections(kind):
            for key, of in keys:
                yield from _exists(item, key, of, known[of])
            if kind == "vpn_connections":
                for tunnel in item.sections("tunnels"):
                    yield from _exists(
                        tunnel, "customer_gateway", "customer_gateways", known["customer_gateways"]
                    )


def _names(intent: Draft, kind: str) -> Collection[str] | None:
    if isinstance(intent, PartialDraft):
        return intent.names[kind]
    if intent.count(kind) is None:
        return None
    written = (other.written("name") for other in intent.sections(kind))
    return dict.fromkeys(text for text in written if text is not None)


def _exists(item: Draft, key: str, kind: str, known: Collection[str] | None) -> Iterator[Fault]:
    name = item.get(key, str)
    if name is None or known is None or name in known:
        return
    some = [other for other, _ in zip(known, range(20), strict=False)]
    yield Fault(item.at(key), f"is not among {kind}", " | ".join(some) or f"nothing, {kind} is empty")


def sessions(intent: Draft) -> Iterator[Fault]:
    """The sessions that a policy matches are those of tunnels."""
    known = _names(intent, "vpn_connections")
    tunnels = {item.get("name", str): item.count("tunnels") for item in intent.sections("vpn_connections")}
    for policy in intent.sections("routing_policies"):
        for rule in policy.sections("rules"):
            match = rule.section("match")
            for path, session in match.items("sessions", str) if match is not None else ():
                name, number = session_parts(session)
                count = tunnels.get(name, 0 if known is not None and name not in known else None)
                if count is not None and number > count:
                    detail = f"connection {name} has no tunnel {number}" if count else f"there is no {name}"
                    yield Fault(path, detail, "the name of a connection, followed by -tunnel1 or -tunnel2")


def one_owner(intent: Draft) -> Iterator[Fault]:
    """Route tables belong to one VPC, VPCs to one gateway, public addresses and interfaces to one user."""
    tables: dict[int, str | None] = {}
    for vpc in intent.sections("vpcs"):
        table = vpc.get("route_table", int)
        if table in tables:
            detail = f"table {table} is that of VPC {tables[table]}"
            if table == DEFAULT_ROUTE_TABLE:
                detail += ", and the one of VPCs that name none"
            yield Fault(vpc.at("route_table"), detail, "a table of its own")
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
    seen = _made_interfaces(intent)
    for connection in intent.sections("vpn_connections"):
        for number, tunnel in enumerate(connection.sections("tunnels"), 1):
            interface = tunnel.get("interface", str)
            if interface in seen:
                yield Fault(
                    tunnel.at("interface"), f"is used by {seen[interface]}", "an interface of its own"
                )
            elif interface is not None:
                seen[interface] = f"tunnel {number} of {connection.written('name')}"
    for vpc in intent.sections("vpcs"):
        for path, interface in vpc.items("interfaces", str):
            user = f"VPC {vpc.written('name')}"
            if seen.setdefault(interface, user) != user:
                yield Fault(path, f"is used by {seen[interface]}", "an interface of this VPC's networks")


def _made_interfaces(intent: Draft) -> dict[str, str]:
    """Names of the interfaces that the service makes, and for what."""
    return {
        made_name(name, number): f"tunnel {number} of {name}, whose interface the service makes"
        for connection in intent.sections("vpn_connections")
        if (name := connection.get("name", str)) is not None
        for number, tunnel in enumerate(connection.sections("tunnels"), 1)
        if tunnel.absent("interface")
    }


def public_addresses(intent: Draft) -> Iterator[Fault]:
    """Between two public addresses there is one tunnel that the service makes: packets tell no more."""
    customers = {item.get("name", str): item for item in intent.sections("customer_gateways")}
    ours = _addresses_by_number(intent)
    seen: dict[tuple[str, IPv4Address | int, IPv4Address], str] = {}
    for connection in intent.sections("vpn_connections"):
        gateway = connection.get("vpn_gateway", str)
        for number, tunnel in enumerate(connection.sections("tunnels"), 1):
            customer = customers.get(tunnel.get("customer_gateway", str) or "")
            address = None if customer is None else customer.get("address", IPv4Address)
            if gateway is None or address is None or not tunnel.absent("interface"):
                continue
            user = f"tunnel {number} of {connection.written('name')}"
            # A gateway whose two addresses are one and the same has no second one to tell tunnels apart by.
            own = ours.get((gateway, number), number)
            other = seen.setdefault((gateway, own, address), user)
            if other != user:
                detail = f"{other} leads from the same public address to {address} already"
                yield Fault(tunnel.at("customer_gateway"), detail, "a customer gateway with another address")


def _addresses_by_number(intent: Draft) -> dict[tuple[str, int], IPv4Address]:
    """Name of each VPN gateway and number of a tunnel to the public address that the tunnel has there."""
    found: dict[tuple[str, int], IPv4Address] = {}
    for gateway in intent.sections("vpn_gateways"):
        for path, address in gateway.items("addresses", IPv4Address):
            found[gateway.written("name") or "", int(path[-1]) + 1] = address
    return found


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


def _vpc_networks(intent: Draft) -> dict[str, list[IPNetwork]]:
    """Name of each VPN gateway to the networks of its VPC."""
    vpcs = {item.get("name", str): item for item in intent.sections("vpcs")}
    found: dict[str, list[IPNetwork]] = {}
    for gateway in intent.sections("vpn_gateways"):
        vpc = vpcs.get(gateway.get("vpc", str) or "")
        networks = [network for _, network in vpc.networks("cidrs")] if vpc else []
        found[gateway.written("name") or ""] = networks
    return found


def tunnel_cidrs(intent: Draft) -> Iterator[Fault]:
    """Tunnel CIDRs are unique per VPN gateway and outside the CIDRs of its VPC."""
    inside = _vpc_networks(intent)
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


# Static routes


def route_gateways(intent: Draft) -> Iterator[Fault]:
    """A static route leads over a connection of its own VPN gateway."""
    gateways = {
        item.get("name", str): item.get("vpn_gateway", str) for item in intent.sections("vpn_connections")
    }
    known = _names(intent, "vpn_gateways") or ()
    for kind in ("destination_routes", "policy_routes"):
        for route in intent.sections(kind):
            own = route.get("vpn_gateway", str)
            other = gateways.get(route.get("vpn_connection", str))
            if own in known and other is not None and own != other:
                detail = f"belongs to VPN gateway {other}, the route to {own}"
                yield Fault(route.at("vpn_connection"), detail, f"a connection of {own}")


def static_destinations(intent: Draft) -> Iterator[Fault]:
    """No static route leads to the VPC itself: its networks are connected, and connected networks win."""
    inside = _vpc_networks(intent)
    for kind, key in (
        ("vpn_connections", "remote_cidrs"),
        ("destination_routes", "destination"),
        ("policy_routes", "destination"),
    ):
        for item in intent.sections(kind):
            networks = inside.get(item.get("vpn_gateway", str) or "", ())
            for path, destination in item.networks(key) if networks else ():
                for network in networks:
                    if (
                        network.version == destination.version
                        and network.prefixlen <= destination.prefixlen
                        and network.overlaps(destination)
                    ):
                        how = "is" if network == destination else "is inside"
                        detail = f"{how} the network {network} of the gateway's own VPC"
                        yield Fault(path, detail, "a network outside the VPC")


def unique_destinations(intent: Draft) -> Iterator[Fault]:
    """One destination-based route of a gateway, and one custom route of a VPC, for each destination."""
    for kind, owner in (("destination_routes", "vpn_gateway"), ("vpc_routes", "vpc")):
        seen: dict[tuple[str | None, IPNetwork], str | None] = {}
        for route in intent.sections(kind):
            name = route.get(owner, str)
            for path, destination in route.networks("destination") if name is not None else ():
                if (name, destination) in seen:
                    detail = f"is the destination of route {seen[name, destination]} of {name} already"
                    yield Fault(path, detail, "one route for each destination")
                seen.setdefault((name, destination), route.written("name"))


def unique_policy_routes(intent: Draft) -> Iterator[Fault]:
    """Two policy-based routes of a gateway differ in priority, source or destination."""
    seen: dict[tuple[str, int, IPNetwork, IPNetwork], str] = {}
    allowed = "another priority, source or destination"
    for connection in intent.sections("vpn_connections"):
        gateway = connection.get("vpn_gateway", str)
        if gateway is None or connection.get("routing_mode", str) != "interesting_traffic":
            continue
        local = [network for _, network in connection.networks("local_cidrs")]
        remote = [network for _, network in connection.networks("remote_cidrs")]
        user = f"interesting traffic of connection {connection.written('name')}"
        for source, destination in pairs(local, remote):
            other = seen.setdefault((gateway, AUTOMATIC_PRIORITY, source, destination), user)
            if other != user:
                detail = f"{source} to {destination} is {other} already"
                yield Fault(connection.at("remote_cidrs"), detail, "pairs of its own")
    for route in intent.sections("policy_routes"):
        gateway, priority = route.get("vpn_gateway", str), route.get("priority", int)
        for (_, source), (path, destination) in zip(
            route.networks("source"), route.networks("destination"), strict=False
        ):
            if gateway is None or priority is None:
                continue
            key = (gateway, priority, source, destination)
            if key in seen:
                detail = f"from {source} with priority {priority} is {seen[key]} already"
                yield Fault(path, detail, allowed)
            seen.setdefault(key, f"policy-based route {route.written('name')}")


RULES = (
    unique_names,
    references,
    sessions,
    one_owner,
    public_addresses,
    bgp_needs_asn,
    other_side,
    tunnel_cidrs,
    route_gateways,
    static_destinations,
    unique_destinations,
    unique_policy_routes,
)
