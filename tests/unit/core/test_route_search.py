"""Free text of a search, and the order that pages are cut from."""

from __future__ import annotations

import random

import pytest

from bgpsvc import route_order
from bgpsvc.bulk import Arrivals
from bgpsvc.fib.ops import METRIC_PRIMARY
from bgpsvc.model import Family, Prefix, format_prefix, parse_prefix
from bgpsvc.port import InvalidQuery, RouteFilter
from bgpsvc.queries import RouteQueries
from bgpsvc.route_order import FIRST, LAST, RouteOrder
from bgpsvc.route_search import inside, understood
from tests.unit.core.harness import TABLE, Node
from tests.unit.support import T1, engine, up, withdraw

SESSIONS = ("conn1-tunnel1", "conn1-tunnel2")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", {}),
        ("192.168.0.0/16", {"prefix": "192.168.0.0/16", "match": "longer"}),
        ("192.168.10.7/16", {"prefix": "192.168.0.0/16", "match": "longer"}),
        ("192.168.", {"prefix": "192.168.0.0/16", "match": "longer"}),
        ("10.2.3", {"prefix": "10.2.3.0/24", "match": "longer"}),
        ("2001:db8:", {"prefix": "2001:db8::/32", "match": "longer"}),
        ("2001:DB8::/40", {"prefix": "2001:db8::/40", "match": "longer"}),
        ("0.0.0.0/0", {"prefix": "0.0.0.0/0", "match": "longer"}),
        ("192.168.10.7", {"prefix": "192.168.10.7", "match": "covering"}),
        ("2001:db8::1", {"prefix": "2001:db8::1", "match": "covering"}),
        ("AS65500", {"asn": 65500}),
        ("as4200000000", {"asn": 4_200_000_000}),
        ("65500", {"asn": 65500}),
        ("65500:100", {"community": "65500:100"}),
        ("65500:1:2", {"community": "65500:1:2"}),
        ("No-Export", {"community": "no-export"}),
        ("conn1-tunnel2", {"session": "conn1-tunnel2"}),
        ("IPv6", {"family": "ipv6"}),
        ("not_installed", {"state": "not_installed"}),
        ("  as65500   installed ", {"asn": 65500, "state": "installed"}),
        ("192.168. 65500:1", {"prefix": "192.168.0.0/16", "match": "longer", "community": "65500:1"}),
    ],
)
def test_each_word_stands_for_a_filter(text: str, meant: dict[str, object]) -> None:
    assert understood(RouteFilter(q=text), SESSIONS) == RouteFilter(**meant)  # type: ignore[arg-type]


def test_words_and_filters_combine() -> None:
    found = understood(RouteFilter(q="as65500 65500:1", state="installed", asn=65500), SESSIONS)
    assert found == RouteFilter(asn=65500, community="65500:1", state="installed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conn1-tunnel3", "nor a session of this gateway (conn1-tunnel1, conn1-tunnel2)"),
        ("192.168.0.0/33", "its length is 0 to 32"),
        ("192.168.0.0/x", "its length is 0 to 32"),
        ("192.168.300.", "'192.168.300.' is no prefix"),
        ("AS4294967296", "the largest is 4294967295"),
        ("as65500 as65501", "'as65501' comes on top of 65500"),
        ("10.0.0.0/8 10.1.0.0/16", "comes on top of 10.0.0.0/8"),
        ("70000:1", "is no prefix, address, AS number"),
    ],
)
def test_a_word_that_means_nothing_is_told(text: str, said: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        understood(RouteFilter(q=text), SESSIONS)
    assert caught.value.field == "q"
    assert said in str(caught.value)


def test_inside_begins_at_the_prefix_itself() -> None:
    within = ["20.0.0.0/8", "20.0.0.0/9", "20.0.0.0/32", "20.255.255.255/32", "20.128.0.0/9"]
    outside = ["20.0.0.0/7", "19.255.255.255/32", "21.0.0.0/8", "0.0.0.0/0", "2001::/16"]
    span = inside(parse_prefix("20.0.0.0/8"))
    assert [p for p in (*within, *outside) if span.holds(parse_prefix(p))] == within
    everything = inside(parse_prefix("0.0.0.0/0"))
    assert everything.holds(parse_prefix("0.0.0.0/0"))
    assert everything.holds(parse_prefix("255.255.255.255/32"))


def numbered(numbers: list[int]) -> dict[Prefix, int]:
    return {Prefix(number.to_bytes(4, "big") + b"\x20"): number for number in numbers}


def in_order(order: RouteOrder) -> list[str] | None:
    """All that is in order, read block by block."""
    work = order.blocks()
    while True:
        try:
            next(work)
        except StopIteration as stop:
            blocks = stop.value
            break
    if blocks is None:
        return None
    found: list[Prefix] = []
    for family in Family:
        low = FIRST
        while block := blocks[family].after(low, LAST[family]):
            found += block
            low = block[-1]
    assert sum(map(len, blocks.values())) == len(found)
    return [format_prefix(p) for p in found]


def test_a_large_table_is_followed_while_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_order, "BLOCK", 16)
    monkeypatch.setattr(route_order, "PORTION", 64)
    dice = random.Random(1)
    members = numbered(dice.sample(range(2**32), 2000))
    arrivals = Arrivals()
    order = RouteOrder(lambda: members, lambda: arrivals, lambda: 0.0)
    assert order.due
    assert in_order(order) is None
    for number, _ in enumerate(order.build()):
        # It changes while it is put in order, and is not taken for one that is.
        if number % 5 == 0:
            gone = dice.choice(list(members))
            del members[gone]
            new = numbered([dice.randrange(2**32) for _ in range(3)])
            members.update(new)
            arrivals.note([gone])
            arrivals.note(new)
            assert in_order(order) is None
            assert not order.due
    assert in_order(order) == [format_prefix(p) for p in sorted(members)]
    many = numbered([0xC0000000 + number for number in range(500)])
    members.update(many)
    arrivals.note(many)
    assert in_order(order) == [format_prefix(p) for p in sorted(members)]
    for prefix in many:
        del members[prefix]
    arrivals.note(many)
    assert in_order(order) == [format_prefix(p) for p in sorted(members)]


def test_what_changes_too_fast_is_put_in_order_again_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arrivals, "MOST", 10)
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    members = numbered(list(range(100)))
    arrivals = Arrivals()
    order = RouteOrder(lambda: members, lambda: arrivals, clock)
    assert list(order.build()) is not None
    assert in_order(order) == [format_prefix(p) for p in sorted(members)]
    members.update(numbered(list(range(100, 120))))
    arrivals.note(numbered(list(range(100, 120))))
    assert in_order(order) is None
    waits = 0
    while not order.due:
        waits += 1
    assert waits >= RouteOrder.REST / 2, "ten times as long as it took"
    assert list(order.build()) is not None
    assert in_order(order) == [format_prefix(p) for p in sorted(members)]


def page_of(found: RouteQueries, node: Node, kind: str) -> list[str]:
    """All of a list; worked off."""
    ask = {"routes": found.routes, "table": found.table_routes}[kind]
    work = ask(node.engine.gateways["gw1"], RouteFilter(), 1000, None)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return [item.prefix for item in stop.value.items]


@pytest.mark.parametrize("kind", ["routes", "table"])
def test_what_comes_and_goes_after_a_table_was_put_in_order_is_on_its_pages(kind: str) -> None:
    node = Node(engine())
    up(node.engine, T1, 1.0, "20.1.0.0/16", "20.3.0.0/16")
    node.settle()
    found = RouteQueries(node.engine, lambda: 0.0)
    assert page_of(found, node, kind) == ["20.1.0.0/16", "20.3.0.0/16"]
    (order,) = found.due()
    assert list(order.build()) is not None
    up(node.engine, T1, 2.0, "20.0.0.0/16", "20.2.0.0/16")
    withdraw(node.engine, T1, 2.0, "20.3.0.0/16")
    node.settle()
    assert page_of(found, node, kind) == ["20.0.0.0/16", "20.1.0.0/16", "20.2.0.0/16"]
    assert not found.due(), "it was followed, and is not put in order anew"
    # Somebody else deletes a route, and it is put back.
    node.engine.fib.route_gone(TABLE, parse_prefix("20.1.0.0/16"), METRIC_PRIMARY)
    assert ("20.1.0.0/16" in page_of(found, node, kind)) is (kind == "routes")
    node.settle()
    assert "20.1.0.0/16" in page_of(found, node, kind)
