"""From the resources to what the other side must be told. Pure.

All is turned round: the gateway's local address is the device's remote one, its `local_id` what the device
expects, its `remote_id` what the device calls itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Network

from pydantic import SecretStr

from bgpsvc.ipsec.mtu import tunnel_mtu
from bgpsvc.model import session_id
from bgpsvc.peerconfig.facts import (
    BfdFacts,
    BgpFacts,
    InsideFacts,
    IPNetwork,
    Ipv6Facts,
    PeerFacts,
    TunnelFacts,
)
from bgpsvc.resources.models import (
    BfdSettings,
    BgpSettings,
    DestinationRoute,
    DpdSettings,
    IkeSettings,
    Intent,
    IpsecSettings,
    Ipv6Settings,
    PolicyRoute,
    Tunnel,
    VpnConnection,
)
from bgpsvc.resources.traffic import pairs

PATH_MTU = 1500
"""What the way between both sides is taken to carry, in bytes: nobody knows it before there is a device."""
_IPV4_AND_TCP = 40
_ROLES = ("active", "standby")
_PREFERRED, _OTHER = (200, 100), (100, 200)
"""(LOCAL_PREF, MED) for the active tunnel and for the standby."""
_ALL4, _ALL6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
"""RFC 1918, and behind a provider's NAT (RFC 6598)."""


def peer_facts(
    intent: Intent, connection: str, *, secrets: bool = False, networks: Sequence[IPNetwork] = ()
) -> PeerFacts:
    """What the other side of a connection must be told; KeyError if there is no connection of that name.

    `networks` are what lies behind the device, where the settings do not say it (with BGP they do not).
    Without `secrets` placeholders such as `<pre-shared key of tunnel 1>` stand in for keys and passwords.
    """
    found = intent.connection(connection)
    gateway = intent.gateway(found.vpn_gateway)
    tunnels = tuple(
        _tunnel(intent, found, number, tunnel, secrets) for number, tunnel in enumerate(found.tunnels, 1)
    )
    return PeerFacts(
        connection=found.name,
        gateway=gateway.name,
        vpc=gateway.vpc,
        route_based=found.routing_mode == "destination",
        gateway_networks=tuple(dict.fromkeys(_gateway_networks(intent, found))),
        device_networks=tuple(dict.fromkeys((*_device_networks(intent, found), *networks))),
        secrets=secrets,
        tunnels=tunnels,
        gateway_initiates=found.effect_immediately,
        warnings=(*_warnings(found, secrets), *_nat_warnings(intent, found)),
    )


def _gateway_networks(intent: Intent, connection: VpnConnection) -> Iterator[IPNetwork]:
    if connection.routing_mode == "interesting_traffic":
        yield from connection.local_cidrs
        return
    gateway = intent.gateway(connection.vpn_gateway)
    yield from intent.vpc(gateway.vpc).cidrs
    yield from gateway.advertise
    for route in intent.vpc_routes:
        if route.vpc == gateway.vpc and route.advertise:
            yield route.destination


def _device_networks(intent: Intent, connection: VpnConnection) -> Iterator[IPNetwork]:
    if connection.routing_mode == "interesting_traffic":
        yield from connection.remote_cidrs
        return
    routes: tuple[DestinationRoute | PolicyRoute, ...] = (*intent.destination_routes, *intent.policy_routes)
    for route in routes:
        if route.vpn_connection == connection.name:
            yield route.destination


def _warnings(connection: VpnConnection, secrets: bool) -> Iterator[str]:
    if len(connection.tunnels) == 1:
        yield f"{connection.name} has a single tunnel: nothing takes over when it fails."
    for number, tunnel in enumerate(connection.tunnels, 1):
        if tunnel.interface is not None:
            settings = (
                "its settings say" if tunnel.ike is not None or tunnel.ipsec is not None else "is usual"
            )
            yield (
                f"Tunnel {number} ends at the gateway in {tunnel.interface}, which bgpsvc neither makes nor "
                f"protects: what stands here of IKE and IPsec is what {settings}; compare it with that end."
            )
        if secrets and (tunnel.ike is None or tunnel.ike.pre_shared_key is None):
            yield f"Tunnel {number} has no pre-shared key here: a placeholder stands for it."


def _nat_warnings(intent: Intent, connection: VpnConnection) -> Iterator[str]:
    for number, tunnel in enumerate(connection.tunnels, 1):
        own = intent.gateway(connection.vpn_gateway).addresses[number - 1]
        outside = _outside(own, tunnel)
        if outside != own:
            yield (
                f"Tunnel {number}: the gateway's address is {own}, a private one; what the device must reach "
                f"is taken from `ike.local_id`: {outside}."
            )
        elif _is_private(own) and not _is_private(intent.customer_gateway(tunnel.customer_gateway).address):
            yield (
                f"Tunnel {number}: the gateway's address is {own}, a private one. If it is behind a NAT, put "
                "the public one in its place; with `ike.local_id` set to that it stands here."
            )


def _outside(own: IPv4Address, tunnel: Tunnel) -> IPv4Address:
    """The gateway's address as the device sees it.

    Behind a 1:1 NAT the machine has another one; identities are then the public addresses, as nobody else
    could know the private ones. An identity that is an address need not be one that can be reached, so it
    counts only where the own one cannot be: private here, public there.
    """
    try:
        told = IPv4Address((tunnel.ike or IkeSettings()).local_id or "")
    except AddressValueError:
        return own
    return told if _is_private(own) and not _is_private(told) else own


def _is_private(address: IPv4Address) -> bool:
    return any(address in network for network in _PRIVATE)


def _tunnel(
    intent: Intent, connection: VpnConnection, number: int, tunnel: Tunnel, secrets: bool
) -> TunnelFacts:
    gateway = intent.gateway(connection.vpn_gateway).addresses[number - 1]
    device = intent.customer_gateway(tunnel.customer_gateway).address
    ike, ipsec = tunnel.ike or IkeSettings(), tunnel.ipsec or IpsecSettings()
    encapsulated = tunnel.nat_traversal is not False
    mtu = tunnel.mtu or tunnel_mtu(PATH_MTU, ipsec, encapsulated)
    bgp = tunnel.bgp
    return TunnelFacts(
        number=number,
        id=session_id(connection.name, number),
        role=_ROLES[number - 1],
        gateway=_outside(gateway, tunnel),
        device=device,
        gateway_id=ike.local_id or str(gateway),
        device_id=ike.remote_id or str(device),
        pre_shared_key=_secret(ike.pre_shared_key, secrets, f"pre-shared key of tunnel {number}"),
        # A template, an operator's too, sees no secret but the fields here.
        ike=ike.model_copy(update={"pre_shared_key": None, "pre_shared_key_file": None}),
        ipsec=ipsec,
        dpd=tunnel.dpd or DpdSettings(),
        nat_traversal=encapsulated,
        mtu=mtu,
        mss=mtu - _IPV4_AND_TCP,
        selectors=tuple(_selectors(connection, bgp)),
        bgp=_bgp(intent, connection, number, tunnel, secrets),
        inside=None if bgp is None else _inside(bgp, number, secrets),
        external=tunnel.interface is not None,
    )


def _secret(value: SecretStr | None, shown: bool, what: str) -> str:
    """The secret, or what stands in for it: also where the resource has none."""
    return value.get_secret_value() if shown and value is not None else f"<{what}>"


def _selectors(connection: VpnConnection, bgp: BgpSettings | None) -> Iterator[tuple[IPNetwork, IPNetwork]]:
    # As `bgpsvc.ipsec.wanted` has them, from the other side.
    if connection.routing_mode == "destination":
        yield _ALL4, _ALL4
        if bgp is not None and bgp.ipv6 is not None:
            yield _ALL6, _ALL6
        return
    if connection.enable_bgp and bgp is not None:
        yield IPv4Network(bgp.peer_ip), IPv4Network(bgp.local_ip)
    for ours, theirs in pairs(connection.local_cidrs, connection.remote_cidrs):
        yield theirs, ours


def _bgp(
    intent: Intent, connection: VpnConnection, number: int, tunnel: Tunnel, secrets: bool
) -> BgpFacts | None:
    asn = intent.customer_gateway(tunnel.customer_gateway).asn
    if not connection.enable_bgp or tunnel.bgp is None or asn is None:
        return None
    settings = tunnel.bgp
    preferred = number == 1 or not connection.prefer_active_tunnel
    local_preference, med = _PREFERRED if preferred else _OTHER
    password = settings.password
    return BgpFacts(
        gateway=settings.local_ip,
        device=settings.peer_ip,
        prefix_length=settings.tunnel_cidr.prefixlen,
        gateway_asn=connection.local_asn,
        device_asn=asn,
        hold_time=settings.hold_time,
        keepalive=settings.hold_time // 3,
        local_preference=local_preference,
        med=med,
        password=None if password is None else _secret(password, secrets, f"BGP password of tunnel {number}"),
        ttl_security=settings.ttl_security,
        graceful_restart=settings.graceful_restart,
        gateway_passive=settings.passive,
        bfd=_bfd(settings.bfd, number, secrets),
        ipv6=_ipv6(settings.ipv6),
    )


def _inside(settings: BgpSettings, number: int, secrets: bool) -> InsideFacts:
    return InsideFacts(
        gateway=settings.local_ip,
        device=settings.peer_ip,
        prefix_length=settings.tunnel_cidr.prefixlen,
        bfd=_bfd(settings.bfd, number, secrets),
        ipv6=_ipv6(settings.ipv6),
    )


def _bfd(settings: BfdSettings | None, number: int, secrets: bool) -> BfdFacts | None:
    if settings is None:
        return None
    key = settings.key
    return BfdFacts(
        interval_ms=settings.interval_ms,
        multiplier=settings.multiplier,
        multihop=settings.multihop,
        key_id=settings.key_id,
        key=None if key is None else _secret(key, secrets, f"BFD key of tunnel {number}"),
    )


def _ipv6(settings: Ipv6Settings | None) -> Ipv6Facts | None:
    if settings is None:
        return None
    return Ipv6Facts(settings.local_ip, settings.peer_ip, settings.tunnel_cidr.prefixlen)
