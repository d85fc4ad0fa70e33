"""Counters of interfaces as the kernel has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing

from bgpsvc.measuring.rates import Counters
from bgpsvc.measuring.sampler import InterfaceCounters
from tests.netns.namespaces import Namespace, wait_until


def told(place: Namespace, name: str) -> tuple[int, Counters]:
    """Index and counters of an interface as `ip` has them."""
    (link,) = json.loads(place.ip(f"-json -statistics link show {name}"))
    rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
    return link["ifindex"], Counters(rx["bytes"], tx["bytes"], rx["packets"], tx["packets"])


def test_counters_are_those_of_the_interfaces_that_are_asked_for(
    make_namespace: Callable[[], Namespace],
) -> None:
    here, there = make_namespace(), make_namespace()
    here.sysctl("net/ipv6/conf/default/disable_ipv6", 1)  # nothing is sent but what the test sends
    there.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
    for i in (1, 2):
        here.veth(f"t{i}", there, f"p{i}", [f"169.254.1{i}.1/30"])
        there.ip(f"addr add 169.254.1{i}.2/30 dev p{i}")
    with here.entered():
        counters = InterfaceCounters()
    with closing(counters):
        here.run("ping", "-c3", "-i0.01", "-s1000", "169.254.11.2")
        one, two = told(here, "t1")[0], told(here, "t2")[0]

        def agree(names: dict[int, str], asked: frozenset[int]) -> bool:
            """A neighbour may ask for addresses in between: then once more."""
            return counters.read(asked) == {index: told(here, name)[1] for index, name in names.items()}

        asked = frozenset({one, two, 999_999})
        wait_until(lambda: agree({one: "t1", two: "t2"}, asked), "the same figures")
        assert counters.read(asked)[one].bytes_out > 3000
        assert counters.read(frozenset({one})).keys() == {one}
        here.ip("link del t1")
        wait_until(lambda: agree({two: "t2"}, asked), "the one that is left")
