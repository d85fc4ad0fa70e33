"""What runs on the two gateways: argument vectors and configuration files, as values.

Gateway 1 is always bgpsvc; gateway 2 is bgpsvc, BIRD or FRR. All of them learn which tunnel to prefer from
the other's MED alone (worse on tunnel 2), so a lab that forwards over tunnel 1 shows that MED is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

import yaml

from bgpsvc.lab import strongswan
from bgpsvc.lab.topology import (
    GATEWAYS,
    GW1,
    GW2,
    TUNNEL_CIDRS,
    TUNNEL_CIDRS6,
    TUNNELS,
    Gateway,
    TunnelKind,
    extra_prefixes,
    other,
    tunnel_interface,
)

RUN_DIR = PurePosixPath("/run/lab")
"""The lab's own directory, on a tmpfs that only the lab's mount namespace sees."""
LOG_DIR = RUN_DIR / "log"
STANDBY_MED = 100
BFD_MS, PEERS_BFD_MS, BFD_MULTIPLIER = 50, 300, 3
"""Interval between two gateways that run bgpsvc, and with others, whose own BFD is not always in time where
many processes share a machine; BIRD and FRR reset the session then."""
MAX_VIA_API = 40_000
"""Prefixes whose document stays below the largest body that the API takes."""
DETACH = b"detach"
"""Written to process 1, it lets the lab outlive the command that started it."""


class Peer(StrEnum):
    """The daemon of gateway 2."""

    BGPSVC = "bgpsvc"
    BIRD = "bird"
    FRR = "frr"


@dataclass(frozen=True, slots=True)
class Daemon:
    """One process: its host, argument vector, files to write first (path to text), inherited descriptors.

    `ready` is a path that the daemon makes when others may talk to it; None if nobody needs to wait for it.
    `after`: commands to run in its host then.
    """

    name: str
    host: str
    argv: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    fds: tuple[int, ...] = ()
    ready: str | None = None
    after: tuple[tuple[str, ...], ...] = ()

    @property
    def log(self) -> str:
        """Where its standard output and error go, inside the lab."""
        return str(LOG_DIR / f"{self.name}.log")


@dataclass(frozen=True, slots=True)
class LabSpec:
    """What a lab is made of. `sockets`: inherited listening sockets by gateway; `programs`: paths by name.

    `via_api`: the daemons start with an empty store, and everything is made over REST. With IPsec that is
    always so: keys are then in no file, and can be changed.
    """

    python: str
    programs: dict[str, str]
    sockets: dict[str, int]
    peer: Peer = Peer.BGPSVC
    hold_time: int = 3
    prefixes: int = 0
    via_api: bool = False
    tunnels: TunnelKind = TunnelKind.VXLAN

    def __post_init__(self) -> None:
        object.__setattr__(self, "peer", Peer(self.peer))
        object.__setattr__(self, "tunnels", TunnelKind(self.tunnels))
        object.__setattr__(self, "via_api", self.via_api or self.tunnels is TunnelKind.IPSEC)
        if not 3 <= self.hold_time <= 65535:
            raise ValueError(f"hold time {self.hold_time}: 3 to 65535 seconds are allowed (RFC 4271 4.2)")

    @property
    def bfd_ms(self) -> int:
        """Interval of BFD in both tunnels."""
        return BFD_MS if self.peer is Peer.BGPSVC else PEERS_BFD_MS

    @property
    def detection(self) -> float:
        """Seconds after which a silent tunnel is noticed."""
        return self.bfd_ms * BFD_MULTIPLIER / 1000

    def interface(self, gateway: Gateway, tunnel: int) -> str:
        """Name of a tunnel's interface on a gateway."""
        if self.tunnels is TunnelKind.IPSEC and gateway not in served_gateways(self.peer):
            return strongswan.interface(tunnel)
        return tunnel_interface(self.tunnels, gateway, tunnel)


def daemons(spec: LabSpec) -> list[Daemon]:
    """Every daemon of the lab in the order of starting."""
    match spec.peer:
        case Peer.BIRD:
            second = [_bird(spec, GW2)]
        case Peer.FRR:
            second = _frr(spec, GW2)
        case Peer.BGPSVC:
            second = [_bgpsvc(spec, GW2)]
    plain = spec.tunnels is TunnelKind.IPSEC and spec.peer is not Peer.BGPSVC
    return [_bgpsvc(spec, GW1), *(_charons(spec) if plain else ()), *second]


def served_gateways(peer: Peer) -> tuple[Gateway, ...]:
    """The gateways that run bgpsvc and so have a REST surface."""
    return GATEWAYS if peer is Peer.BGPSVC else (GW1,)


def gateway_yaml(gateway: Gateway, hold_time: int, prefixes: int, bfd_ms: int = BFD_MS) -> str:
    """Configuration of bgpsvc on a gateway, as a file."""
    document = gateway_document(gateway, hold_time, prefixes, bfd_ms=bfd_ms)
    return yaml.dump(document, Dumper=_DUMPER, sort_keys=False)


def gateway_document(
    gateway: Gateway,
    hold_time: int,
    prefixes: int,
    keys: Mapping[int, str] | None = None,
    bfd_ms: int = BFD_MS,
) -> dict[str, list[dict[str, Any]]]:
    """The resources of a gateway by kind, in the form of the reference scenario.

    `keys`: the pre-shared key of each tunnel, for which the service makes IPsec; without them the tunnels
    are the interfaces that the lab has made.
    """
    peer = other(gateway)
    number = gateway.name.removeprefix("gw")
    customers = [f"vpn{number}-customer{tunnel}" for tunnel in TUNNELS]
    vpn_gateway: dict[str, object] = {
        "name": gateway.name,
        "vpc": gateway.vpc,
        "addresses": list(gateway.public),
        "auto_propagate": True,
    }
    if prefixes:
        vpn_gateway["advertise"] = extra_prefixes(gateway, prefixes)
    return {
        "vpcs": [{"name": gateway.vpc, "cidrs": [gateway.vpc_cidr, gateway.vpc_cidr6]}],
        "vpn_gateways": [vpn_gateway],
        "customer_gateways": [
            {"name": name, "address": address, "asn": peer.asn}
            for name, address in zip(customers, peer.public, strict=True)
        ],
        "vpn_connections": [
            {
                "name": gateway.connection,
                "vpn_gateway": gateway.name,
                "enable_bgp": True,
                "local_asn": gateway.asn,
                "failback_hold_down": 1,
                # A lab breaks its tunnels many times over: that is no flapping.
                "failback_hold_down_max": 0,
                "tunnels": [
                    {
                        "customer_gateway": customers[tunnel - 1],
                        **_made_of(gateway, tunnel, keys),
                        "bgp": {
                            "tunnel_cidr": TUNNEL_CIDRS[tunnel - 1],
                            "local_ip": gateway.inside[tunnel - 1],
                            "hold_time": hold_time,
                            "bfd": {"interval_ms": bfd_ms, "multiplier": BFD_MULTIPLIER},
                            "ipv6": {
                                "tunnel_cidr": TUNNEL_CIDRS6[tunnel - 1],
                                "local_ip": gateway.inside6[tunnel - 1],
                            },
                        },
                    }
                    for tunnel in TUNNELS
                ],
            }
        ],
    }


def _made_of(gateway: Gateway, tunnel: int, keys: Mapping[int, str] | None) -> dict[str, Any]:
    if keys is None:
        return {"interface": tunnel_interface(TunnelKind.VXLAN, gateway, tunnel)}
    return {"ike": {"version": "ikev2", "pre_shared_key": keys[tunnel]}}


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def bird_conf(gateway: Gateway, hold_time: int, prefixes: int) -> str:
    """BIRD 2: the VPC and the extra prefixes as static routes, one BGP protocol per tunnel."""
    peer = other(gateway)
    announced = [gateway.vpc_cidr, *extra_prefixes(gateway, prefixes)]
    lines = [
        "log stderr all;",
        f"router id {gateway.vpc_address};",
        "protocol device {}",
        f'protocol bfd {{ interface "*" {{ interval {PEERS_BFD_MS} ms; multiplier {BFD_MULTIPLIER}; }}; }}',
        # The kernel learns what BGP learned; our own announcements must not become routes.
        "protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }",
        "protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; }",
        "protocol static announced { ipv4;",
        *(f"  route {prefix} blackhole;" for prefix in announced),
        "}",
        f"protocol static announced6 {{ ipv6; route {gateway.vpc_cidr6} blackhole; }}",
    ]
    for tunnel in TUNNELS:
        med = STANDBY_MED if tunnel == 2 else 0
        lines += [
            f"protocol bgp tunnel{tunnel} {{",
            f"  local {gateway.inside[tunnel - 1]} as {gateway.asn};",
            f"  neighbor {peer.inside[tunnel - 1]} as {peer.asn};",
            f"  hold time {hold_time}; keepalive time {max(1, hold_time // 3)};",
            "  connect delay time 1; connect retry time 2; error wait time 1, 4;",
            "  bfd on;",
            "  ipv4 { import all; next hop self;",
            f'    export filter {{ if proto != "announced" then reject; bgp_med = {med}; accept; }};',
            "  };",
            # Over a session between IPv4 addresses, the IPv6 next hop must be told.
            f"  ipv6 {{ import all; next hop address {gateway.inside6[tunnel - 1]};",
            f'    export filter {{ if proto != "announced6" then reject; bgp_med = {med}; accept; }};',
            "  };",
            "}",
        ]
    return "\n".join(lines) + "\n"


def frr_bgpd_conf(gateway: Gateway, hold_time: int, prefixes: int) -> str:
    """FRR's bgpd: `network` statements, a route map per tunnel that sets the MED."""
    peer = other(gateway)
    keepalive = max(1, hold_time // 3)
    lines = [
        f"router bgp {gateway.asn}",
        f" bgp router-id {gateway.vpc_address}",
        # No import policy is wanted here, and no routes for what is announced.
        " no bgp ebgp-requires-policy",
        " no bgp network import-check",
        " bgp log-neighbor-changes",
        f" timers bgp {keepalive} {hold_time}",
    ]
    for address in peer.inside:
        lines += [f" neighbor {address} remote-as {peer.asn}", f" neighbor {address} timers connect 1"]
        lines.append(f" neighbor {address} bfd profile {_BFD_PROFILE}")
    lines.append(" address-family ipv4 unicast")
    lines += [f"  neighbor {peer.inside[t - 1]} route-map tunnel{t} out" for t in TUNNELS]
    lines += [f"  network {prefix}" for prefix in (gateway.vpc_cidr, *extra_prefixes(gateway, prefixes))]
    lines += [" exit-address-family", " address-family ipv6 unicast"]
    for tunnel, address in zip(TUNNELS, peer.inside, strict=True):
        lines += [f"  neighbor {address} activate", f"  neighbor {address} route-map tunnel{tunnel} out"]
    lines += [f"  network {gateway.vpc_cidr6}", " exit-address-family"]
    for tunnel in TUNNELS:
        lines += [
            f"route-map tunnel{tunnel} permit 10",
            f" set metric {STANDBY_MED if tunnel == 2 else 0}",
        ]
    return "\n".join(lines) + "\n"


_BFD_PROFILE = "lab"


def frr_bfdd_conf() -> str:
    """FRR's bfdd: the intervals; bgpd tells it of sessions."""
    times = (f"receive-interval {PEERS_BFD_MS}", f"transmit-interval {PEERS_BFD_MS}")
    lines = ["bfd", f" profile {_BFD_PROFILE}", f"  detect-multiplier {BFD_MULTIPLIER}"]
    return "\n".join([*lines, *(f"  {line}" for line in times)]) + "\n"


def _bgpsvc(spec: LabSpec, gateway: Gateway) -> Daemon:
    home = RUN_DIR / gateway.name
    config, fd = str(home / "bgpsvc.yaml"), spec.sockets[gateway.name]
    argv = [spec.python, "-P", "-m", "bgpsvc", "serve"]
    files = {}
    if not spec.via_api:
        argv += ["--config", config]
        files[config] = gateway_yaml(gateway, spec.hold_time, spec.prefixes, spec.bfd_ms)
    # What a kernel can do differs from machine to machine; a charon for each tunnel runs on all of them.
    argv += ["--ipsec", "userspace" if spec.tunnels is TunnelKind.IPSEC else "external"]
    # The socket is on loopback, and whoever can connect to it may do anything in a lab.
    argv += ["--state-dir", str(home / "state"), "--anonymous", "admin", "--listen", f"fd:{fd}"]
    return Daemon(gateway.name, gateway.name, tuple(argv), files, (fd,))


def charon_directory(tunnel: int) -> PurePosixPath:
    """Where the files of a charon of gateway 2 are, if that runs plain strongSwan."""
    return RUN_DIR / GW2.name / f"charon{tunnel}"


def _charons(spec: LabSpec) -> list[Daemon]:
    """A charon for each tunnel, one after the other: that is what their devices' names follow."""
    rules = str(RUN_DIR / GW2.name / "nft.conf")
    result = []
    for tunnel in TUNNELS:
        home = charon_directory(tunnel)
        ip = tuple((spec.programs["ip"], *line.split()) for line in strongswan.addresses(tunnel))
        daemon = Daemon(
            f"{GW2.name}-charon{tunnel}",
            GW2.name,
            strongswan.start(spec.programs, home),
            {str(home / strongswan.SETTINGS): strongswan.settings(tunnel)},
            ready=str(home / strongswan.SOCKET),
            after=ip,
        )
        result.append(daemon)
    first = result[0]
    files = {**first.files, rules: strongswan.translation()}
    result[0] = replace(first, files=files, after=((spec.programs["nft"], "-f", rules), *first.after))
    return result


def _bird(spec: LabSpec, gateway: Gateway) -> Daemon:
    home = RUN_DIR / gateway.name
    config = str(home / "bird.conf")
    argv = (
        spec.programs["bird"],
        "-f",
        "-c",
        config,
        "-s",
        str(home / "bird.ctl"),
        "-P",
        str(home / "bird.pid"),
    )
    files = {config: bird_conf(gateway, spec.hold_time, spec.prefixes)}
    return Daemon(f"{gateway.name}-bird", gateway.name, argv, files)


def _frr(spec: LabSpec, gateway: Gateway) -> list[Daemon]:
    """zebra, then the others, which take 10 s to look again if it is not there. For their user see `init`."""
    home = RUN_DIR / gateway.name
    texts = {
        "zebra": f"hostname {gateway.name}\n",
        "bfdd": frr_bfdd_conf(),
        "bgpd": frr_bgpd_conf(gateway, spec.hold_time, spec.prefixes),
    }
    result = []
    for program, text in texts.items():
        config = str(home / f"{program}.conf")
        argv = [spec.programs[program], "-f", config, "-i", str(home / f"{program}.pid")]
        argv += ["-z", str(home / "zserv.api"), "--vty_socket", str(home), "-A", "127.0.0.1"]
        argv += ["-u", "root", "-g", "root", "--log", "stdout", "--log-level", "informational"]
        if program == "bfdd":
            argv += ["--bfdctl", str(home / "bfdd.sock")]
        result.append(Daemon(f"{gateway.name}-{program}", gateway.name, tuple(argv), {config: text}))
    result[0] = replace(result[0], ready=str(home / "zserv.api"))
    return result
