"""The other end of the VPN as somebody else runs it: two VPN devices and a core router, none of it ours.

    provider ── device 1 ── core ── host
             └─ device 2 ──┘        192.168.0.10

Each device has a public address, a strongSwan with one tunnel, and a BGP session through it; the core has
BGP (of the same AS) with both, so that it sends over the device whose path is the better one.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import Self

from tests.interop.ipsec.routers import KINDS, Neighbor, Router
from tests.interop.ipsec.strongswan import StrongSwan
from tests.netns.namespaces import Namespace, wait_until
from tests.netns.wan import Wan

ASN, CLOUD_ASN = 65500, 65530
NETWORK = "192.168.0.0/16"
HOST = "192.168.0.10"
PUBLIC = ("198.51.100.2", "198.51.100.4")
CLOUD = ("198.51.100.1", "198.51.100.3")


class Device:
    """VPN device number 1 or 2: `strongswan` and `router` in `namespace`."""

    def __init__(self, stack: ExitStack, wan: Wan, number: int, kind: str, swanctl: str) -> None:
        self.number = number
        self.namespace = stack.enter_context(Namespace())
        self.namespace.sysctl("net/ipv4/ip_forward", 1)
        wan.attach(self.namespace, "wan", PUBLIC[number - 1], (CLOUD[number - 1],))
        self._swanctl = swanctl
        self.strongswan = stack.enter_context(StrongSwan(self.namespace))
        neighbors = [
            Neighbor(f"169.254.{number}0.2", f"169.254.{number}0.1", CLOUD_ASN),
            Neighbor(f"172.16.{number}.1", f"172.16.{number}.2", ASN),
        ]
        self.router: Router = KINDS[kind](self.namespace, ASN, f"10.9.9.{number}", neighbors, "")
        stack.callback(self.router.close)

    def configure(self) -> None:
        """Load the VPN connection, give the tunnel's interface its address, start BGP."""
        self.strongswan.load(self._swanctl)
        self.namespace.ip(f"address add 169.254.{self.number}0.2/30 dev ipsec0")
        self.router.start()

    def die(self) -> None:
        """Power off: nobody is told, and its cables go dark."""
        self.strongswan.kill()
        self.router.stop(signal.SIGKILL)
        for interface in ("wan", "core"):
            self.namespace.ip(f"link set {interface} down")

    def revive(self, wan: Wan) -> None:
        """Power on again."""
        for interface in ("wan", "core"):
            self.namespace.ip(f"link set {interface} up")
        wan.route(self.namespace, "wan", PUBLIC[self.number - 1], (CLOUD[self.number - 1],))
        self.strongswan.start()
        self.configure()


class DataCentre:
    """Use as a context manager. `kind`: bird or frr; `swanctl`: the swanctl.conf of each device."""

    def __init__(self, wan: Wan, kind: str, swanctl: tuple[str, str]) -> None:
        self._wan = wan
        with ExitStack() as building:
            self.core, self.host = (building.enter_context(Namespace()) for _ in range(2))
            self.devices = [Device(building, wan, n, kind, swanctl[n - 1]) for n in (1, 2)]
            self.core.sysctl("net/ipv4/ip_forward", 1)
            for device in self.devices:
                n = device.number
                self.core.veth(f"d{n}", device.namespace, "core", [f"172.16.{n}.2/30"])
                device.namespace.ip(f"address add 172.16.{n}.1/30 dev core")
            self.core.veth("lan", self.host, "eth0", ["192.168.0.1/16"])
            self.host.ip(f"address add {HOST}/16 dev eth0")
            self.host.ip("route add default via 192.168.0.1")
            neighbors = [Neighbor(f"172.16.{n}.2", f"172.16.{n}.1", ASN) for n in (1, 2)]
            self.router: Router = KINDS[kind](self.core, ASN, "10.9.9.9", neighbors, NETWORK)
            building.callback(self.router.close)
            self.router.start()
            for device in self.devices:
                device.configure()
            self._stack = building.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def die(self, number: int) -> None:
        """A device dies."""
        self.devices[number - 1].die()

    def revive(self, number: int) -> None:
        """It is back."""
        self.devices[number - 1].revive(self._wan)

    def uses(self, network: str) -> int | None:
        """The device over which the core sends to a network; None if over none."""
        told = self.core.ip(f"route show {network}")
        return next((n for n in (1, 2) if f"dev d{n}" in told), None)

    def until_uses(self, network: str, number: int, seconds: float = 120) -> None:
        """Until the core sends over this device."""
        wait_until(
            lambda: self.uses(network) == number, f"the core sends to {network} over {number}", seconds
        )
