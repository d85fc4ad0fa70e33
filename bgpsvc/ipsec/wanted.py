"""The tunnels that an intent asks the service to make."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from bgpsvc.ipsec.model import IPInterface, IPNetwork, IpsecTunnel
from bgpsvc.model import SessionId, session_id
from bgpsvc.resources.interfaces import interface_of
from bgpsvc.resources.models import (
    DpdSettings,
    IkeSettings,
    Intent,
    IpsecSettings,
    Tunnel,
    VpnConnection,
)
from bgpsvc.resources.traffic import pairs

_ALL4, _ALL6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")


def ipsec_tunnels(intent: Intent) -> dict[SessionId, IpsecTunnel]:
    """Every tunnel that names no interface of its own, by id; worked out once for an intent."""
    return intent.once(_tunnels)


def _tunnels(intent: Intent) -> dict[SessionId, IpsecTunnel]:
    return {
        session_id(connection.name, number): _tunnel(intent, connection, number, tunnel)
        for connection in intent.vpn_connections
        for number, tunnel in enumerate(connection.tunnels, 1)
        if tunnel.interface is None
    }


def _tunnel(intent: Intent, connection: VpnConnection, number: int, tunnel: Tunnel) -> IpsecTunnel:
    return IpsecTunnel(
        id=session_id(connection.name, number),
        connection=connection.name,
        number=number,
        interface=interface_of(connection.name, number, tunnel),
        local=intent.gateway(connection.vpn_gateway).addresses[number - 1],
        remote=intent.customer_gateway(tunnel.customer_gateway).address,
        ike=tunnel.ike or IkeSettings(),
        ipsec=tunnel.ipsec or IpsecSettings(),
        dpd=tunnel.dpd or DpdSettings(),
        nat_traversal=tunnel.nat_traversal is not False,
        immediately=connection.effect_immediately,
        pairs=tuple(_pairs(connection, tunnel)),
        addresses=tuple(_addresses(tunnel)),
        mtu=tunnel.mtu,
    )


def _pairs(connection: VpnConnection, tunnel: Tunnel) -> Iterator[tuple[IPNetwork, IPNetwork]]:
    bgp = tunnel.bgp
    if connection.routing_mode == "destination":
        yield _ALL4, _ALL4
        # Asked for only where it is used: many peers answer with IPv4 selectors alone.
        if bgp is not None and bgp.ipv6 is not None:
            yield _ALL6, _ALL6
        return
    if connection.enable_bgp and bgp is not None:
        yield IPv4Network(bgp.local_ip), IPv4Network(bgp.peer_ip)
    yield from pairs(connection.local_cidrs, connection.remote_cidrs)


def _addresses(tunnel: Tunnel) -> Iterator[IPInterface]:
    if tunnel.bgp is not None:
        yield IPv4Interface((tunnel.bgp.local_ip, tunnel.bgp.tunnel_cidr.prefixlen))
        if tunnel.bgp.ipv6 is not None:
            ipv6 = tunnel.bgp.ipv6
            yield IPv6Interface((ipv6.local_ip, ipv6.tunnel_cidr.prefixlen))
