"""What is legal in a configuration and still worth a warning."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from bgpsvc.resources.draft import Fault, Path
from bgpsvc.resources.models import IkeSettings, Intent, IpsecSettings, RoutingPolicy, Tunnel, VpnConnection
from bgpsvc.resources.overlaps import overlaps

LEGACY = {
    "version": {"ikev1": "ikev2"},
    "mode": {"aggressive": "main, it does not expose a hash of the key"},
    "encryption": {"des": "aes256", "3des": "aes256"},
    "authentication": {"md5": "sha256", "sha1": "sha256"},
    "pfs": {"group1": "group14", "group2": "group14", "group5": "group14"},
}
"""Values that the clouds still accept and that should not be chosen any more, with what to take instead."""


def warnings(intent: Intent) -> tuple[Fault, ...]:
    """All warnings about a valid configuration; worked out once."""
    return intent.once(_warnings)


def _warnings(intent: Intent) -> tuple[Fault, ...]:
    return tuple(_found(intent))


def _found(intent: Intent) -> Iterator[Fault]:
    yield from _shared_namespace(intent)
    for index, policy in enumerate(intent.routing_policies):
        yield from _unreached(policy, ("routing_policies", index))
    for index, connection in enumerate(intent.vpn_connections):
        path: Path = ("vpn_connections", index)
        yield from _tunnels(intent, connection, path)
        for fault in connection.once(_own):
            yield Fault((*path, *fault.path), fault.message)
    yield from _shared_tunnel_cidrs(intent)
    yield from overlaps(intent)


def _not_applied(key: str) -> str:
    return f"{key} is checked and not applied: interface is given, so IPsec is set up elsewhere"


def _shared_namespace(intent: Intent) -> Iterator[Fault]:
    # Not an error: a file may be on its way there, and one VPC at a time gets its interfaces over REST.
    without = [index for index, vpc in enumerate(intent.vpcs) if not vpc.interfaces]
    if len(intent.vpcs) < 2 or not without:
        return
    others = len(without) - 1
    for index in without:
        with_whom = f"the routes of {others} other VPC{'s' if others > 1 else ''} and of this one"
        detail = (
            f"names no interfaces, so packets of this namespace see {with_whom}"
            if others
            else "names no interfaces, so whatever does not enter over those of other VPCs sees its routes"
        )
        yield Fault(("vpcs", index), detail)


def _unreached(policy: RoutingPolicy, path: Path) -> Iterator[Fault]:
    for number, rule in enumerate(policy.rules):
        match = rule.match
        if match is None or not (match.prefixes or match.as_path or match.communities or match.sessions):
            after = len(policy.rules) - number - 1
            if after:
                which = "the rule after it is" if after == 1 else f"the {after} rules after it are"
                yield Fault((*path, "rules", number), f"matches everything, so {which} never reached")
            return


def _tunnels(intent: Intent, connection: VpnConnection, path: Path) -> Iterator[Fault]:
    asns = [intent.customer_gateway(tunnel.customer_gateway).asn for tunnel in connection.tunnels]
    if len(asns) == 1:
        yield Fault((*path, "tunnels"), "is one tunnel, the legacy form: nothing takes over when it fails")
    elif connection.enable_bgp and asns[0] != asns[1]:
        detail = (
            f"the peers of the two tunnels have different ASNs, {asns[0]} and {asns[1]}; one is recommended"
        )
        yield Fault((*path, "tunnels"), detail)


def _own(connection: VpnConnection) -> tuple[Fault, ...]:
    """What concerns the connection alone, at paths inside it."""
    found: list[Fault] = []
    if not connection.effect_immediately and all(tunnel.interface for tunnel in connection.tunnels):
        found.append(Fault(("effect_immediately",), _not_applied("effect_immediately")))
    for number, tunnel in enumerate(connection.tunnels):
        found += _ipsec(tunnel, ("tunnels", number))
    return tuple(found)


def _ipsec(tunnel: Tunnel, path: Path) -> Iterator[Fault]:
    for key in ("mtu", "ike", "ipsec", "dpd", "nat_traversal"):
        if tunnel.interface is not None and getattr(tunnel, key) is not None:
            yield Fault((*path, key), _not_applied(key))
    for key, section in (("ike", tunnel.ike), ("ipsec", tunnel.ipsec)):
        if section is not None:
            yield from _legacy(section, (*path, key))


def _legacy(section: IkeSettings | IpsecSettings, path: Path) -> Iterator[Fault]:
    for key, values in LEGACY.items():
        better = values.get(getattr(section, key, ""))
        if better is not None:
            yield Fault((*path, key), f"is legacy and weak; better: {better}")


def _shared_tunnel_cidrs(intent: Intent) -> Iterator[Fault]:
    # The rule is "unique per VPN gateway", but all gateways of a file live in one network namespace, where
    # a peer is told by its address alone.
    seen: dict[IPv4Network | IPv6Network, str] = {}
    for index, connection in enumerate(intent.vpn_connections):
        for number, tunnel in enumerate(connection.tunnels):
            for steps, cidr in _tunnel_cidrs(tunnel):
                other = seen.setdefault(cidr, connection.vpn_gateway)
                if other != connection.vpn_gateway:
                    path = ("vpn_connections", index, "tunnels", number, *steps)
                    yield Fault(path, f"VPN gateway {other} of this file uses it too, in the same namespace")


def _tunnel_cidrs(tunnel: Tunnel) -> Iterator[tuple[Path, IPv4Network | IPv6Network]]:
    if tunnel.bgp is not None:
        yield ("bgp", "tunnel_cidr"), tunnel.bgp.tunnel_cidr
        if tunnel.bgp.ipv6 is not None:
            yield ("bgp", "ipv6", "tunnel_cidr"), tunnel.bgp.ipv6.tunnel_cidr
