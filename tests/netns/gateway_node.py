"""A gateway without speakers in a namespace: engine, kernel and lookup order, and what its packets do.

    host (lan) ── here ══ t1, t2, … ══ peer

The engine is told of sessions and routes by the test; everything below it is real. `peer` only listens:
where a packet of the host arrives says what the lookup came to.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from bgpsvc.engine import Engine
from bgpsvc.events import Announced, ConnectedChanged, EndOfRib, Event, LinkChanged, SessionUp
from bgpsvc.fib.lookup import CustomRoutes, set_fixed, set_rules
from bgpsvc.fib.netlink import Kernel
from bgpsvc.fib.prepare import prepare
from bgpsvc.fib.rules import custom_routes, endpoints, fixed_routes, lookups, wanted
from bgpsvc.model import Attributes, Family, Segment, SegmentType, SessionId, parse_address, parse_prefix
from bgpsvc.resources import Intent
from tests.netns.namespaces import Namespace, wait_until
from tests.unit.support import negotiated, run

_IP_RECVERR, _IPV6_RECVERR = 11, 25


def tunnel(number: int, *, addresses: bool = True) -> dict[str, Any]:
    """Tunnel number n as configured: over tn, with 169.254.1n.0/30 and fd00:n::/126, or without addresses."""
    made: dict[str, Any] = {"customer_gateway": "peer", "interface": f"t{number}"}
    if addresses:
        made["bgp"] = {
            "tunnel_cidr": f"169.254.1{number}.0/30",
            "local_ip": f"169.254.1{number}.1",
            "ipv6": {"tunnel_cidr": f"fd00:{number}::/126", "local_ip": f"fd00:{number}::1"},
        }
    return made


class GatewayNode:
    """The gateway and its neighbours. Use as a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.here, self.peer = self._namespace(), self._namespace()
        self.hosts: dict[str, Namespace] = {}
        self._number = 0
        self.here.sysctl("net/ipv4/icmp_ratelimit", 0)
        self.here.sysctl("net/ipv6/icmp/ratelimit", 0)
        self.here.sysctl("net/ipv6/conf/all/keep_addr_on_down", 1)
        with self.peer.entered():  # one socket for all interfaces
            packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        self._packets = self._stack.enter_context(packets)
        with self.here.entered():
            prepare()
            self.kernel = self._stack.enter_context(Kernel())
        self.custom = CustomRoutes()
        self.engine: Engine

    def __enter__(self) -> GatewayNode:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _namespace(self) -> Namespace:
        made = self._stack.enter_context(Namespace())
        # Else IPv6 is mute for the first second: its link-local address is tentative (RFC 4862 5.4).
        made.sysctl("net/ipv6/conf/default/dad_transmits", 0)
        return made

    # The world --------------------------------------------------------------------------------

    def add_host(self, name: str, *addresses: str) -> Namespace:
        """A host behind interface `name`: the first address of each family is ours, the others are its."""
        host = self.hosts[name] = self._namespace()
        own: dict[bool, str] = {}
        for address in addresses:
            own.setdefault(":" in address, address)
        self.here.veth(name, host, "eth0", list(own.values()))
        for address in addresses:
            if address not in own.values():
                host.ip(f"addr add {address} dev eth0 {'nodad' if ':' in address else ''}")
        for address in own.values():
            host.ip(f"route add default via {address.partition('/')[0]}")
        return host

    def add_tunnels(self, *numbers: int) -> None:
        """Cables t1 … to the peer's p1 …, with addresses at both ends."""
        for n in numbers:
            self.here.veth(f"t{n}", self.peer, f"p{n}", [f"169.254.1{n}.1/30", f"fd00:{n}::1/126"])
            self.peer.ip(f"addr add 169.254.1{n}.2/30 dev p{n}")
            self.peer.ip(f"addr add fd00:{n}::2/126 dev p{n} nodad")

    # The gateway ------------------------------------------------------------------------------

    def start(self, intent: Intent) -> None:
        """The engine begins, with what the kernel holds."""
        self.engine = Engine(intent, 0)
        for link in self.kernel.links():
            self.engine.handle(LinkChanged(link.name, link.ifindex, link.up), 0)
        self.engine.handle(ConnectedChanged(tuple(self.kernel.connected())), 0)
        self.engine.fib.load(self.kernel.nexthops(), self.kernel.all_routes())
        self.engine.takeover.loaded()
        self.settle()

    def configure(self, intent: Intent) -> None:
        """Another intent."""
        self.engine.reconfigure(intent, 1)
        self.settle()

    def settle(self) -> list[str]:
        """Bring the kernel up to date; names of custom routes that newly have a problem."""
        run(self.engine)
        fib = self.engine.fib
        while (ops := fib.plan()) or fib.queued:
            errors = self.kernel.apply(ops)
            assert errors == []
            fib.applied(ops, errors)
        with self.here.entered():
            return asyncio.run(self._lookup())

    async def _lookup(self) -> list[str]:
        intent, numbers = self.engine.intent, self.engine.numbers
        for number, routes in fixed_routes(intent, numbers).items():
            await set_fixed(number, routes, {})
        await set_rules(wanted(lookups(intent, numbers), endpoints(intent)))
        return await self.custom.apply(custom_routes(intent))

    def handle(self, event: Event, now: float = 2) -> None:
        """An event, and what comes of it."""
        self.engine.handle(event, now)
        self.settle()

    def learn(self, session: str, number: int, *prefixes: str) -> None:
        """The session of tunnel `number` comes up and announces prefixes."""
        ident = SessionId(session)
        self.engine.handle(SessionUp(ident, negotiated(families=tuple(Family))), 1)
        for prefix in prefixes:
            hop = f"fd00:{number}::2" if ":" in prefix else f"169.254.1{number}.2"
            path = (Segment(SegmentType.SEQUENCE, (65500,)),)
            attributes = Attributes(parse_address(hop), as_path=path)
            self.engine.handle(Announced(ident, attributes, (parse_prefix(prefix),)), 1)
        for family in Family:
            self.engine.handle(EndOfRib(ident, family), 1)
        self.settle()

    def link(self, name: str, *, up: bool, now: float = 2) -> None:
        """Set a link up or down; the engine hears of it as the service would."""
        self.here.ip(f"link set {name} {'up' if up else 'down'}")
        wait_until(lambda: self._link(name)[1] is up, f"{name} changed")
        self.engine.handle(LinkChanged(name, *self._link(name)), now)
        self.engine.fib.verify(self.kernel.nexthops())
        self.settle()

    def _link(self, name: str) -> tuple[int, bool]:
        return next((link.ifindex, link.up) for link in self.kernel.links() if link.name == name)

    # Packets ----------------------------------------------------------------------------------

    def way(self, destination: str, source: str | None = None, host: str = "lan") -> str:
        """Where a packet of a host arrives: a tunnel's name, `unreachable`, or `nowhere`.

        nowhere: neither a tunnel's far end nor an ICMP error saw anything of it.
        """
        self._number += 1
        payload = b"packet %d of the test" % self._number
        six = ":" in destination
        with self.hosts[host].entered():
            sender = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            if six:
                sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                sender.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            if source is not None:
                sender.bind((source, 0))
            sender.connect((destination, 9))
            sender.send(payload)
            return self._arrival(payload, sender)

    def _arrival(self, payload: bytes, sender: socket.socket) -> str:
        deadline = time.monotonic() + 2
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([self._packets, sender], [], [], left)
            if self._packets in ready:
                packet, (interface, _, kind, *_) = self._packets.recvfrom(2048)
                # An ICMP error quotes the packet; it goes to the host and is not seen here.
                if payload in packet and kind != socket.PACKET_OUTGOING:
                    return interface.replace("p", "t")
            elif sender in ready:
                return "unreachable"
        return "nowhere"

    def ways(
        self, destinations: Iterable[str], source: str | None = None, host: str = "lan"
    ) -> Mapping[str, str]:
        """`way` of several destinations."""
        return {destination: self.way(destination, source, host) for destination in destinations}
