"""What the measured daemons are told: the same sessions in the words of BIRD, FRR and this service.

Every session is eBGP to the far end of a tunnel's interface, takes everything and announces nothing; all that
is taken goes into the kernel. Of two tunnels of a pair the first is preferred.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

LOCAL_ASN, PEER_ASN = 65530, 65500
HOLD_TIME = 90
FIRST = 8 << 8
BFD_INTERVAL_MS, BFD_MULTIPLIER = 50, 3


@dataclass(frozen=True, slots=True)
class Neighbor:
    """One session. `pair` counts from 1; `tunnel` is 1 (preferred) or 2."""

    pair: int
    tunnel: int
    link: str
    local: str
    peer: str

    @property
    def name(self) -> str:
        """A name for the session that every daemon takes."""
        return f"p{self.pair}t{self.tunnel}"

    @property
    def local6(self) -> str:
        """Our IPv6 address on the tunnel, for next hops."""
        return f"fd00:{self.tunnel:x}:{self.pair:x}::1"

    @property
    def peer6(self) -> str:
        """The other end's."""
        return f"fd00:{self.tunnel:x}:{self.pair:x}::2"


@dataclass(frozen=True, slots=True)
class Setup:
    """What is measured: `ipv6` has the sessions carry that family too, `bfd` watches every neighbour."""

    neighbors: tuple[Neighbor, ...]
    ipv6: bool = False
    bfd: bool = False


def neighbors(pairs: int) -> tuple[Neighbor, ...]:
    """Both tunnels of so many pairs, up to 5,000: /30s from 169.254.8.0 on, below which some are reserved."""
    made = []
    for number in range(2 * pairs):
        base = FIRST + 4 * number
        pair, tunnel = number // 2 + 1, number % 2 + 1
        ends = [f"169.254.{base + end >> 8}.{base + end & 255}" for end in (1, 2)]
        made.append(Neighbor(pair, tunnel, f"p{pair}t{tunnel}", *ends))
    return tuple(made)


def bird(setup: Setup) -> str:
    """bird.conf of BIRD 2."""
    families = ("ipv4", "ipv6") if setup.ipv6 else ("ipv4",)
    lines = [f"router id {setup.neighbors[0].local};", "protocol device { }"]
    lines.append("protocol direct { " + " ".join(f"{family};" for family in families) + " }")
    lines += [
        f"protocol kernel {{ {family} {{ import none; export where source = RTS_BGP; }}; }}"
        for family in families
    ]
    if setup.bfd:
        timers = f"interval {BFD_INTERVAL_MS} ms; multiplier {BFD_MULTIPLIER};"
        lines.append(f'protocol bfd {{ interface "*" {{ {timers} }}; }}')
    for each in setup.neighbors:
        taken = f"import filter {{ bgp_local_pref = {300 - 100 * each.tunnel}; accept; }}; export none;"
        channels = " ".join(f"{family} {{ {taken} }};" for family in families)
        lines.append(
            f"protocol bgp {each.name} {{ local {each.local} as {LOCAL_ASN}; "
            f"neighbor {each.peer} as {PEER_ASN}; direct; hold time {HOLD_TIME}; "
            f"connect delay time 1; connect retry time 1; {'bfd; ' if setup.bfd else ''}{channels} }}"
        )
    return "\n".join(lines) + "\n"


def zebra(setup: Setup) -> str:
    """zebra.conf of FRR."""
    return f"hostname dut\nrouter-id {setup.neighbors[0].local}\n"


def bgpd(setup: Setup) -> str:
    """bgpd.conf of FRR; the preferred tunnel by weight."""
    lines = [f"router bgp {LOCAL_ASN}", f" bgp router-id {setup.neighbors[0].local}"]
    lines += [" no bgp ebgp-requires-policy", f" timers bgp {HOLD_TIME // 3} {HOLD_TIME}"]
    for each in setup.neighbors:
        lines += [f" neighbor {each.peer} remote-as {PEER_ASN}", f" neighbor {each.peer} timers connect 1"]
        if setup.bfd:
            lines += [f" neighbor {each.peer} bfd", f" neighbor {each.peer} bfd profile fast"]
    for family in ("ipv4", "ipv6") if setup.ipv6 else ("ipv4",):
        lines.append(f" address-family {family} unicast")
        for each in setup.neighbors:
            lines.append(f"  neighbor {each.peer} activate")
            if each.tunnel == 1:
                lines.append(f"  neighbor {each.peer} weight 200")
        lines.append(" exit-address-family")
    return "\n".join(lines) + "\n"


def bfdd(_setup: Setup) -> str:
    """bfdd.conf of FRR."""
    lines = ["bfd", " profile fast", f"  detect-multiplier {BFD_MULTIPLIER}"]
    lines += [f"  receive-interval {BFD_INTERVAL_MS}", f"  transmit-interval {BFD_INTERVAL_MS}"]
    return "\n".join(lines) + "\n"


def bgpsvc(setup: Setup) -> str:
    """The configuration file of this service, YAML's subset JSON."""
    tunnels: dict[int, list[Neighbor]] = {}
    for each in setup.neighbors:
        tunnels.setdefault(each.pair, []).append(each)
    document = {
        "vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16"]}],
        "vpn_gateways": [
            {
                "name": "gw1",
                "vpc": "vpc1",
                "addresses": ["198.51.100.1", "198.51.100.3"],
                "auto_propagate": True,
            }
        ],
        "customer_gateways": [
            {"name": f"cgw-{each.name}", "address": _public(each), "asn": PEER_ASN}
            for each in setup.neighbors
        ],
        "vpn_connections": [
            {
                "name": f"conn{pair}",
                "vpn_gateway": "gw1",
                "enable_bgp": True,
                "local_asn": LOCAL_ASN,
                "tunnels": [_tunnel(each, setup) for each in both],
            }
            for pair, both in tunnels.items()
        ],
    }
    return json.dumps(document, indent=1)


def _public(each: Neighbor) -> str:
    number = 2 * each.pair + each.tunnel
    return f"198.18.{number >> 8}.{number & 255}"


def _tunnel(each: Neighbor, setup: Setup) -> dict[str, object]:
    local = [int(part) for part in each.local.split(".")]
    bgp: dict[str, object] = {
        "tunnel_cidr": f"169.254.{local[2]}.{local[3] & ~3}/30",
        "local_ip": each.local,
        "hold_time": HOLD_TIME,
    }
    if setup.ipv6:
        bgp["ipv6"] = {"tunnel_cidr": f"{each.local6.removesuffix('1')}/126", "local_ip": each.local6}
    if setup.bfd:
        bgp["bfd"] = {"interval_ms": BFD_INTERVAL_MS, "multiplier": BFD_MULTIPLIER}
    return {"customer_gateway": f"cgw-{each.name}", "interface": each.link, "bgp": bgp}
