"""The reference scenario for tests of the core: one gateway, one connection, two tunnels."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from bgpsvc.engine import Engine
from bgpsvc.events import Announced, EndOfRib, LinkChanged, Negotiated, SessionDown, SessionUp, Withdrawn
from bgpsvc.model import (
    Attributes,
    Family,
    Origin,
    Prefix,
    Segment,
    SegmentType,
    SessionId,
    parse_address,
    parse_prefix,
)
from bgpsvc.resources import (
    BgpSettings,
    CustomerGateway,
    Intent,
    Ipv6Settings,
    Tunnel,
    Vpc,
    VpnConnection,
    VpnGateway,
)

T1, T2 = SessionId("conn1-tunnel1"), SessionId("conn1-tunnel2")
IFINDEX = {"t1": 2, "t2": 3}


def bgp(third: int, **more: object) -> BgpSettings:
    return BgpSettings.model_validate(
        {
            "tunnel_cidr": IPv4Network(f"169.254.{third}.0/30"),
            "local_ip": IPv4Address(f"169.254.{third}.1"),
            "ipv6": Ipv6Settings(
                tunnel_cidr=IPv6Network(f"fd00:{third}::/126"), local_ip=IPv6Address(f"fd00:{third}::1")
            ),
            **more,
        }
    )


def intent(
    *, propagate: bool = True, connection: dict[str, object] | None = None, **bgp_more: object
) -> Intent:
    return Intent(
        vpcs=(Vpc(name="vpc1", cidrs=(IPv4Network("10.0.0.0/16"),)),),
        vpn_gateways=(
            VpnGateway(
                name="gw1",
                vpc="vpc1",
                addresses=(IPv4Address("198.51.100.1"), IPv4Address("198.51.100.3")),
                auto_propagate=propagate,
            ),
        ),
        customer_gateways=(
            CustomerGateway(name="c1", address=IPv4Address("198.51.100.2"), asn=65500),
            CustomerGateway(name="c2", address=IPv4Address("198.51.100.4"), asn=65500),
        ),
        vpn_connections=(
            VpnConnection.model_validate(
                {
                    "name": "conn1",
                    "vpn_gateway": "gw1",
                    "enable_bgp": True,
                    "local_asn": 65530,
                    "tunnels": (
                        Tunnel(customer_gateway="c1", interface="t1", bgp=bgp(10, **bgp_more)),
                        Tunnel(customer_gateway="c2", interface="t2", bgp=bgp(20, **bgp_more)),
                    ),
                    **(connection or {}),
                }
            ),
        ),
    )


def engine(now: float = 0.0, links_up: bool = True, **more: object) -> Engine:
    made = Engine(intent(**more), now)  # type: ignore[arg-type]
    for name, ifindex in IFINDEX.items():
        made.handle(LinkChanged(name, ifindex, links_up), now)
    made.takeover.loaded()
    return made


def negotiated(**more: object) -> Negotiated:
    fields: dict[str, object] = {
        "hold_time": 30,
        "families": (Family.IPV4,),
        "route_refresh": True,
        "enhanced_refresh": True,
    }
    return Negotiated(**{**fields, **more})  # type: ignore[arg-type]


def path(session: SessionId, *asns: int, med: int | None = None, **more: object) -> Attributes:
    third = 10 if session == T1 else 20
    return Attributes(
        **{
            "next_hop": parse_address(f"169.254.{third}.2"),
            "origin": Origin.IGP,
            "as_path": (Segment(SegmentType.SEQUENCE, asns or (65500,)),),
            "med": med,
            **more,
        }  # type: ignore[arg-type]
    )


def prefixes(*texts: str) -> tuple[Prefix, ...]:
    return tuple(parse_prefix(text) for text in texts)


def up(e: Engine, session: SessionId, now: float, *texts: str, end: bool = True, **more: object) -> None:
    e.handle(SessionUp(session, negotiated(**more)), now)
    if texts:
        e.handle(Announced(session, path(session), prefixes(*texts)), now)
    if end:
        e.handle(EndOfRib(session, Family.IPV4), now)
    run(e)


def down(e: Engine, session: SessionId, now: float, *, graceful: bool = False) -> None:
    e.handle(SessionDown(session, "test", graceful=graceful), now)
    run(e)


def withdraw(e: Engine, session: SessionId, now: float, *texts: str) -> None:
    e.handle(Withdrawn(session, prefixes(*texts)), now)
    run(e)


def run(e: Engine) -> None:
    while e.work():
        pass
