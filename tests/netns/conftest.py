"""Fixtures for tests in network namespaces of their own. They need root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack

import pytest

from bgpsvc.fib.lookup import set_fixed, set_rules
from bgpsvc.fib.netlink import Kernel
from bgpsvc.fib.ops import NEXTHOP_IDS, SetNexthop
from bgpsvc.fib.prepare import prepare
from bgpsvc.fib.rules import Rule, VpcLookup, wanted
from bgpsvc.model import Family, Prefix, parse_address
from tests.netns.namespaces import Namespace


@pytest.fixture
def make_namespace() -> Iterator[Callable[[], Namespace]]:
    """A factory of namespaces that vanish with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Namespace())


class Gateway:
    """A prepared namespace with tunnels t1 and t2 to a peer's namespace, and its kernel.

    Tunnel i has 169.254.1i.1/30 and fd00:i::1/64 here, .2 and ::2 at the peer.
    """

    def __init__(self, here: Namespace, peer: Namespace) -> None:
        self.here = here
        self.peer = peer
        for i in (1, 2):
            here.veth(f"t{i}", peer, f"p{i}", [f"169.254.1{i}.1/30", f"fd00:{i}::1/64"])
            peer.ip(f"addr add 169.254.1{i}.2/30 dev p{i}")
            peer.ip(f"addr add fd00:{i}::2/64 dev p{i} nodad")
        with here.entered():
            prepare()
            self.kernel = Kernel()
        self.links = {link.name: link.ifindex for link in self.kernel.links()}

    def set_rules(self, *tables: int, endpoints: Collection[str] = ()) -> tuple[list[Rule], list[Rule]]:
        """Give these tables their place in the lookup order."""
        vpcs = [VpcLookup(table) for table in tables]
        return self.set_lookup(wanted(vpcs, [parse_address(text) for text in endpoints]))

    def set_lookup(self, rules: list[Rule]) -> tuple[list[Rule], list[Rule]]:
        """Make the rules of ours these."""
        with self.here.entered():
            return asyncio.run(set_rules(rules))

    def set_guards(self, table: int, wished: Collection[Prefix], present: Collection[Prefix]) -> None:
        """Keep these networks out of the table's learned routes."""
        with self.here.entered():
            asyncio.run(set_fixed(table, dict.fromkeys(wished, "throw"), dict.fromkeys(present)))

    def nexthop(self, number: int, tunnel: int, family: Family = Family.IPV4) -> SetNexthop:
        """The operation that makes the peer's end of a tunnel our nexthop of this number."""
        gateway = f"169.254.1{tunnel}.2" if family is Family.IPV4 else f"fd00:{tunnel}::2"
        ident = NEXTHOP_IDS.start + number
        return SetNexthop(ident, family, self.links[f"t{tunnel}"], parse_address(gateway))


@pytest.fixture
def gateway(make_namespace: Callable[[], Namespace]) -> Iterator[Gateway]:
    """Two tunnels to a peer, and the kernel."""
    made = Gateway(make_namespace(), make_namespace())
    with made.kernel:
        yield made
