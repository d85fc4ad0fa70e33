"""Rules that look at several fields of one resource. Each takes a draft and yields what is wrong with it.

`resources.models` names the rules of each model; those between resources are in `resources.cross_rules`.
A rule says nothing where a value that it needs was refused already.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from bgpsvc.resources.draft import Draft, Fault, IPNetwork
from bgpsvc.resources.traffic import is_automatic_name, pairs

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


def vpc_interfaces(vpc: Draft) -> Iterator[Fault]:
    """No interface is named twice."""
    seen: set[str] = set()
    for path, interface in vpc.items("interfaces", str):
        if interface in seen:
            yield Fault(path, "is listed already", "each interface once")
        seen.add(interface)


def gateway_addresses(gateway: Draft) -> Iterator[Fault]:
    """Exactly two public addresses, one per zone; the same twice where this side has only one."""
    count = gateway.count("addresses")
    if count is not None and count != 2:
        yield Fault(gateway.at("addresses"), f"{count} given", "exactly two addresses, one for each tunnel")


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


def bfd_key(bfd: Draft) -> Iterator[Fault]:
    """A key and its id go together: the id travels in every packet that the key signs."""
    keyed = not bfd.absent("key") or not bfd.absent("key_file")
    if keyed and bfd.absent("key_id"):
        yield Fault(bfd.at("key_id"), "is missing; there is a key", "the key's id at the peer, 0 to 255")
    elif not keyed and not bfd.absent("key_id"):
        yield Fault(bfd.at("key"), "is missing; there is a key_id", "key, or key_file; or no key_id")


def ike_mode(ike: Draft) -> Iterator[Fault]:
    """IKEv2 has no aggressive mode."""
    if ike.get("version", str) == "ikev2" and ike.get("mode", str) == "aggressive":
        yield Fault(ike.at("mode"), "only ikev1 has an aggressive mode", "main, or version: ikev1")


def pre_shared_keys(intent: Draft) -> Iterator[Fault]:
    """Each tunnel that the service makes has a pre-shared key, in the file or in one of its own."""
    for connection in intent.sections("vpn_connections"):
        for tunnel in connection.sections("tunnels"):
            ike = tunnel.section("ike")
            if not tunnel.absent("interface") or (ike is None and not tunnel.absent("ike")):
                continue
            if ike is None or (ike.absent("pre_shared_key") and ike.absent("pre_shared_key_file")):
                detail = "is missing, and only for resources in the database one is made"
                allowed = (
                    "pre_shared_key, or pre_shared_key_file; or interface, if the IPsec is set up elsewhere"
                )
                yield Fault(tunnel.at("ike", "pre_shared_key"), detail, allowed)


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
    """CIDR pairs belong to interesting-traffic mode, and several pairs of selectors need IKEv2."""
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
    if mode == "interesting_traffic":
        yield from _traffic_pairs(connection)
    else:
        yield from _both_families(connection)


def _both_families(connection: Draft) -> Iterator[Fault]:
    """In destination mode each family has a pair of selectors (`ipsec.wanted`), and IKEv1 agrees on one."""
    for tunnel in connection.sections("tunnels"):
        ike, bgp = tunnel.section("ike"), tunnel.section("bgp")
        if ike is None or ike.get("version", str) != "ikev1" or not tunnel.absent("interface"):
            continue
        if bgp is not None and not bgp.absent("ipv6"):
            detail = "IPv4 and IPv6 are two pairs of selectors, and several need IKEv2"
            yield Fault(ike.at("version"), detail, "ikev2, or no bgp.ipv6")


def _traffic_pairs(connection: Draft) -> Iterator[Fault]:
    local, remote = connection.networks("local_cidrs"), connection.networks("remote_cidrs")
    for side, other, key in ((local, remote, "remote_cidrs"), (remote, local, "local_cidrs")):
        versions = {network.version for _, network in other}
        for path, network in side if other else ():
            if network.version not in versions:
                detail = f"has no partner, {key} has no IPv{network.version} network"
                yield Fault(path, detail, f"the family of a network in {key}")
    count = sum(1 for _ in pairs([n for _, n in local], [n for _, n in remote]))
    for tunnel in connection.sections("tunnels"):
        ike = tunnel.section("ike")
        if ike is None or ike.get("version", str) != "ikev1":
            continue
        if count > 1:
            yield Fault(ike.at("version"), "several CIDR pairs need IKEv2", _ONE_PAIR)
        elif connection.get("enable_bgp", bool) and tunnel.absent("interface"):
            # The tunnel's own addresses are a pair of selectors too (`ipsec.wanted`).
            detail = "BGP and the CIDRs are two pairs of selectors, and several need IKEv2"
            yield Fault(ike.at("version"), detail, "ikev2, or enable_bgp: false")


def health_ends(check: Draft) -> Iterator[Fault]:
    """Both ends are hosts, and not the same one."""
    ends = {key: check.get(key, IPv4Address) for key in ("source", "destination")}
    for key, address in ends.items():
        if address is not None and _is_no_host(address):
            yield Fault(check.at(key), "is not the address of a host", "a unicast address")
    if ends["source"] is not None and ends["source"] == ends["destination"]:
        yield Fault(check.at("destination"), "is the source too", "an address on the other side")


# Routing policies


def prefix_lengths(match: Draft) -> Iterator[Fault]:
    """`ge` and `le` are lengths that prefixes inside `prefix` can have, and in order."""
    networks = match.networks("prefix")
    low, high = (networks[0][1].prefixlen, networks[0][1].max_prefixlen) if networks else (0, 128)
    lengths = {key: match.get(key, int) for key in ("ge", "le")}
    for key, length in lengths.items():
        if length is not None and length > high:
            yield Fault(match.at(key), "is more bits than the family has", f"{low} to {high}")
        elif length is not None and length < low:
            yield Fault(match.at(key), f"is shorter than the prefix, which has {low}", f"{low} to {high}")
    ge, le = lengths["ge"], lengths["le"]
    if ge is not None and le is not None and low <= le < ge <= high:
        yield Fault(match.at("le"), f"is less than ge, which is {ge}", f"{ge} to {high}")


def rejected_unchanged(rule: Draft) -> Iterator[Fault]:
    """What is rejected cannot be changed."""
    if rule.get("action", str) != "reject":
        return
    given = [key for key in ("local_preference", "med") if rule.get(key, int) is not None]
    given += ["prepend"] if rule.get("prepend", int) else []
    given += [key for key in ("add_communities", "remove_communities") if rule.get(key, tuple)]
    for key in given:
        yield Fault(rule.at(key), "changes nothing where the action is reject", "none, or action: accept")


# Routes


def policy_route(route: Draft) -> Iterator[Fault]:
    """Source and destination are of one family, and the name is not that of an automatic route."""
    name = route.get("name", str)
    if name is not None and is_automatic_name(name):
        detail = "is kept for the routes that interesting traffic makes"
        yield Fault(route.at("name"), detail, "a name that does not end in -auto- and a number")
    ends = [network for key in ("source", "destination") for _, network in route.networks(key)]
    if len(ends) == 2 and ends[0].version != ends[1].version:
        detail = f"is IPv{ends[1].version}, and the source is IPv{ends[0].version}"
        yield Fault(route.at("destination"), detail, "networks of one family")


def vpc_route(route: Draft) -> Iterator[Fault]:
    """A route leads to a next hop, out of an interface, or nowhere; a next hop is one that can be reached."""
    hop, interface = not route.absent("next_hop"), not route.absent("interface")
    blackhole = route.get("blackhole", bool)
    allowed = "one of next_hop (with or without interface), interface, and blackhole: true"
    if blackhole and (hop or interface):
        yield Fault(route.at("blackhole"), f"{'next_hop' if hop else 'interface'} is given too", allowed)
    elif blackhole is False and not hop and not interface:
        yield Fault(route.at("next_hop"), "is missing, and nothing else says where the route leads", allowed)
    yield from _next_hop(route)


def _next_hop(route: Draft) -> Iterator[Fault]:
    address = route.get("next_hop", IPv4Address) or route.get("next_hop", IPv6Address)
    if address is None:
        return
    place = route.at("next_hop")
    if _is_no_host(address):
        yield Fault(place, "is not the address of a host", "a unicast address")
    elif address.version == 6 and address.is_link_local and route.absent("interface"):
        yield Fault(place, "is link-local, and no interface is given", "an interface besides")
    for _, destination in route.networks("destination"):
        if destination.version != address.version:
            detail = f"is IPv{address.version}, and the destination is IPv{destination.version}"
            yield Fault(place, detail, f"an IPv{destination.version} address")


def _is_no_host(address: IPv4Address | IPv6Address) -> bool:
    reserved = address.version == 4 and int(address) >> 28 == 15
    return address.is_unspecified or address.is_multicast or address.is_loopback or reserved
