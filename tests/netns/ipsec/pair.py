"""Two gateways with a connection of two tunnels between them, each with a driver and charons of its own.

    left 198.51.100.1 ══ wire 1 ══ 203.0.113.1 right
         198.51.100.2 ══ wire 2 ══ 203.0.113.2

Tunnel n has 169.254.1n.1/30 and fd00:n::1/126 at the left, .2 and ::2 at the right.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_interface
from pathlib import Path
from typing import Any, Literal

from bgpsvc.ipsec.model import IpsecTunnel
from bgpsvc.model import SessionId, session_id
from bgpsvc.resources.models import DpdSettings, IkeSettings, IpsecSettings
from tests.netns.ipsec.node import SLOW, Node
from tests.netns.namespaces import Namespace, wait_until

Side = Literal["left", "right"]
KEY = "Correct-Horse-42"
PUBLIC = {"left": "198.51.100", "right": "203.0.113"}
OTHER: dict[Side, Side] = {"left": "right", "right": "left"}
PAIRS = ((IPv4Network("0.0.0.0/0"),) * 2, (IPv6Network("::/0"),) * 2)
IDS = {number: session_id("conn1", number) for number in (1, 2)}


def tunnel(side: Side, number: int, *, ike: dict[str, Any] | None = None, **more: Any) -> IpsecTunnel:
    """A tunnel of conn1 as one side has it."""
    host = {"left": 1, "right": 2}[side]
    fields: dict[str, Any] = {
        "id": IDS[number],
        "connection": "conn1",
        "number": number,
        "interface": f"conn1-tunnel{number}",
        "local": IPv4Address(f"{PUBLIC[side]}.{number}"),
        "remote": IPv4Address(f"{PUBLIC[OTHER[side]]}.{number}"),
        "ike": IkeSettings.model_validate({"pre_shared_key": KEY, **(ike or {})}),
        "ipsec": IpsecSettings(),
        "dpd": DpdSettings(),
        "nat_traversal": True,
        "immediately": True,
        "pairs": PAIRS,
        "addresses": (
            ip_interface(f"169.254.{10 + number}.{host}/30"),
            ip_interface(f"fd00:{number}::{host}/126"),
        ),
    }
    return IpsecTunnel(**{**fields, **more})


def side_of(tunnel: IpsecTunnel) -> Side:
    """Whose tunnel it is."""
    return "left" if str(tunnel.local).startswith(PUBLIC["left"]) else "right"


class Pair:
    """Use as a context manager. `wrapper`: runs the left side's driver; `nat`: the left is behind one."""

    def __init__(self, folder: Path, wrapper: Sequence[str] = (), nat: bool = False) -> None:
        self._stack = ExitStack()
        self.spaces: dict[Side, Namespace] = {}
        self.nodes: dict[Side, Node] = {}
        try:
            for side in OTHER:
                self.spaces[side] = self._stack.enter_context(Namespace())
            for number in (1, 2):
                if nat:
                    self._wire_behind_nat(number)
                else:
                    self._wire(number)
            for side, namespace in self.spaces.items():
                node = self.nodes[side] = Node(namespace, folder / side, wrapper if side == "left" else ())
                self._stack.callback(node.close)
                node.call("start", ())
        except BaseException:
            self._stack.close()
            raise

    def _wire(self, number: int) -> None:
        left, right = self.spaces["left"], self.spaces["right"]
        left.veth(f"wire{number}", right, f"wire{number}")
        for side, namespace in self.spaces.items():
            mine, other = PUBLIC[side], PUBLIC[OTHER[side]]
            namespace.ip(f"address add {mine}.{number} peer {other}.{number} dev wire{number}")

    def _wire_behind_nat(self, number: int) -> None:
        """The left's public address is at a router that hands out other ports as it likes (RFC 3022)."""
        left, right = self.spaces["left"], self.spaces["right"]
        router = self._stack.enter_context(Namespace())
        mine, other = f"{PUBLIC['left']}.{number}", f"{PUBLIC['right']}.{number}"
        left.veth(f"wire{number}", router, "inside", [f"10.9.{number}.2/24"])
        router.veth("outside", right, f"wire{number}")
        router.ip(f"address add 10.9.{number}.1/24 dev inside")
        router.ip(f"address add {mine} peer {other} dev outside")
        right.ip(f"address add {other} peer {mine} dev wire{number}")
        left.ip(f"route add {other} via 10.9.{number}.1")
        router.sysctl("net/ipv4/ip_forward", 1)
        chain = "type nat hook postrouting priority srcnat;"
        rule = "oifname outside ip protocol udp masquerade to :20000-30000 random"
        router.run("nft", f"add table ip nat; add chain ip nat out {{ {chain} }}; add rule ip nat out {rule}")

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def bring_up(self, *tunnels: IpsecTunnel) -> None:
        """Bring a tunnel up at the side that its local address is of."""
        for one in tunnels:
            self.nodes[side_of(one)].bring_up(one)

    def establish(self, number: int, **more: Any) -> None:
        """Bring a tunnel up at both sides and have the left one negotiate."""
        sides: tuple[Side, ...] = ("left", "right")
        self.bring_up(*(tunnel(side, number, **more) for side in sides))
        self.negotiate(number)

    def recover(self, *tunnels: IpsecTunnel) -> None:
        """Have these carry packets again, whatever was done to them: of each both sides."""
        for side, node in self.nodes.items():
            if node.process.poll() is not None:
                node.restart()
                node.call("start", [one for one in tunnels if side_of(one) == side])
        for one in tunnels:
            if self.nodes[side_of(one)].bring_up(one).renewed:
                self.nodes[side_of(one)].call("terminate", one.id, True)
        for number in sorted({one.number for one in tunnels}):
            if not self.reaches(number):
                self.negotiate(number)
                self.wait_reaches(number)

    def negotiate(self, number: int) -> None:
        """Have the left side negotiate, until the child SA is there."""
        before = len(self.nodes["left"].signals)
        self.nodes["left"].call("initiate", IDS[number])
        self.nodes["left"].wait_established(IDS[number], before)

    def reaches(self, number: int, family: int = 4) -> bool:
        """Whether a packet gets through a tunnel and back."""
        address = f"169.254.{10 + number}.2" if family == 4 else f"fd00:{number}::2"
        command = ("ping", "-c", "1", "-W", "1", address)
        return subprocess.run(self.spaces["left"].command(*command), capture_output=True).returncode == 0

    def wait_reaches(self, number: int, family: int = 4) -> None:
        """Until one does."""
        wait_until(lambda: self.reaches(number, family), f"tunnel {number} carries IPv{family}", SLOW)


__all__ = ["IDS", "KEY", "OTHER", "PAIRS", "Pair", "SessionId", "Side", "replace", "side_of", "tunnel"]
