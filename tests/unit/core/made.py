"""The reference scenario with tunnels that the service makes."""

from __future__ import annotations

from bgpsvc.engine import Engine
from bgpsvc.events import LinkChanged
from bgpsvc.resources import Intent, Tunnel
from tests.fakes.kernel import FakeKernel
from tests.unit.core.harness import Node
from tests.unit.support import bgp, intent

NAMES = ("conn1-tunnel1", "conn1-tunnel2")


def made_intent(*, with_bgp: bool = True, **connection: object) -> Intent:
    """Both tunnels without an interface of their own; `with_bgp` is that of the connection."""
    tunnels = (
        Tunnel(customer_gateway="c1", bgp=bgp(10)),
        Tunnel(customer_gateway="c2", bgp=bgp(20)),
    )
    return intent(connection={"tunnels": tunnels, "enable_bgp": with_bgp, **connection})


def made_node(started: Engine, now: float = 0.0) -> Node:
    """The engine joined to a kernel in which the interfaces of both tunnels are."""
    kernel = FakeKernel()
    for number, name in enumerate(NAMES, 1):
        ifindex = kernel.add_link(name, f"169.254.{number}0.1/30", f"fd00:{number}0::1/126")
        started.handle(LinkChanged(name, ifindex, True), now)
    kernel.read()
    started.takeover.loaded()
    return Node(started, kernel)
