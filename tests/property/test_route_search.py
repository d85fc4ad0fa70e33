"""A search finds what a look at every route finds, over random tables, whatever happens to them meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bgpsvc import queries, route_filters, route_order
from bgpsvc.bulk import Arrivals
from bgpsvc.engine import Engine
from bgpsvc.events import Announced, EndOfRib, LinkChanged, PropagationSet, Withdrawn
from bgpsvc.gateway import Gateway
from bgpsvc.model import Attributes, Family, Prefix, SessionId, covers, format_prefix, parse_prefix
from bgpsvc.port import RouteFilter
from bgpsvc.queries import RouteQueries
from bgpsvc.routes_report import route_state
from bgpsvc.views import Page
from tests.unit.core.harness import Node
from tests.unit.support import IFINDEX, T1, T2, down, engine, intent, path, run, up

TEXTS = (
    *("0.0.0.0/0", "10.0.9.0/24", "20.0.0.0/8", "20.1.1.128/25", "30.0.0.0/7", "203.0.113.0/24"),
    *(f"20.{number}.0.0/16" for number in range(0, 40, 3)),
    *(f"20.1.{number}.0/24" for number in range(0, 40, 3)),
    *("2001:db8::/32", "2001:db8::/48", "2001:db8:1::/48", "2a00::/16"),
)
PREFIXES = [parse_prefix(text) for text in TEXTS]
SESSIONS = st.sampled_from([T1, T2])
SOME = st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=10, unique=True).map(tuple)
ATTRIBUTES: list[dict[str, Any]] = [
    {"communities": (65500 << 16 | 1,)},
    {"communities": (0xFFFFFF01,), "large_communities": ((1, 2, 3),)},
    {},
]
FIELDS: list[dict[str, Any]] = [
    *({"prefix": prefix, "match": "longer"} for prefix in ("20.0.0.0/8", "20.1.0.0/16")),
    *({"prefix": "20.1.1.128/25", "match": match} for match in ("exact", "covering", "best")),
    {"prefix": "2001:db8::/31", "match": "longer"},
    *({"family": family} for family in ("ipv4", "ipv6")),
    *({"session": session} for session in (T1, T2)),
    *({"asn": asn} for asn in (65501, 65530, 7)),
    *({"community": community} for community in ("65500:1", "no-export", "1:2:3")),
    *({"state": state} for state in ("installed", "pending", "not_installed", "failed")),
]
FILTERS = st.lists(st.sampled_from(FIELDS), max_size=2).map(
    lambda fields: RouteFilter(**{name: value for field in fields for name, value in field.items()})
)
ORDERED = st.lists(st.booleans(), min_size=1, max_size=3)
"""Whether tables are put in order before a page."""
LIMITS = st.sampled_from([2, 5, 100])

Step = Callable[[Node], None]


@pytest.fixture(scope="module", autouse=True)
def _small_pieces() -> Iterator[None]:
    """Of a dozen prefixes: what is done with a million of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(route_order, "BLOCK", 2)
        patch.setattr(queries, "BLOCK", 2)
        patch.setattr(route_order, "PORTION", 3)
        patch.setattr(route_order, "SAMPLED", 1)
        patch.setattr(route_order, "PLACED_AT_ONCE", 2)
        patch.setattr(queries, "WALKED", 3)
        patch.setattr(queries, "SPARSE", 2)
        patch.setattr(route_filters, "SPARSE", 2)
        patch.setattr(Arrivals, "MOST", 40)
        yield


def _handled(event: Any) -> Step:
    def step(node: Node) -> None:
        session = getattr(event, "session", None)
        if session is None or node.engine.sessions[session].established:
            node.engine.handle(event, 5.0)

    return step


def _announced(session: SessionId, some: Any, asns: tuple[int, ...], more: dict[str, Any]) -> Step:
    return _handled(Announced(session, path(session, *asns, **more), some))


def _session(session: SessionId, comes: bool) -> Step:
    def step(node: Node) -> None:
        if not comes:
            down(node.engine, session, 5.0)
        elif not node.engine.sessions[session].established:
            up(node.engine, session, 5.0, end=False, families=(Family.IPV4, Family.IPV6))

    return step


def _programmed(budget: int) -> Step:
    def step(node: Node) -> None:
        if ops := node.engine.fib.plan(budget):
            node.engine.fib.applied(ops, node.kernel.apply(ops))

    return step


def _worked(pieces: int) -> Step:
    def step(node: Node) -> None:
        for _ in range(pieces):
            node.engine.work()

    return step


def _peering(asn: int, limit: int) -> Step:
    """With another ASN the sessions are removed, and made anew."""
    made = intent(connection={"local_asn": asn}, max_prefixes=limit)

    def step(node: Node) -> None:
        node.engine.reconfigure(made, 5.0)

    return step


ASNS = st.sampled_from([(65500,), (65500, 65501), (65500, 65530)])
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(_announced, SESSIONS, SOME, ASNS, st.sampled_from(ATTRIBUTES)),
    st.builds(_announced, SESSIONS, SOME, ASNS, st.sampled_from(ATTRIBUTES)),
    st.builds(lambda s, some: _handled(Withdrawn(s, some)), SESSIONS, SOME),
    st.builds(_session, SESSIONS, st.booleans()),
    st.builds(lambda s: _handled(EndOfRib(s, Family.IPV4)), SESSIONS),
    st.builds(lambda on: _handled(PropagationSet("gw1", on)), st.booleans()),
    st.builds(
        lambda n, u: _handled(LinkChanged(n, IFINDEX[n], u)), st.sampled_from([*IFINDEX]), st.booleans()
    ),
    st.builds(_programmed, st.sampled_from([1, 3, 100])),
    st.builds(_programmed, st.sampled_from([1, 3, 100])),
    st.builds(_worked, st.sampled_from([1, 100])),
    st.builds(_peering, st.sampled_from([65530, 65530, 65501]), st.sampled_from([3, 1000])),
)
HISTORIES = st.lists(STEPS, max_size=8)


def begun(history: list[Step]) -> Node:
    """A gateway whose sessions are up, after some events."""
    node = Node(engine())
    for session in (T1, T2):
        up(node.engine, session, 1.0, end=False, families=(Family.IPV4, Family.IPV6))
    for number, more in enumerate(ATTRIBUTES):
        some = tuple(PREFIXES[number :: 2 * len(ATTRIBUTES)])
        node.engine.handle(Announced(T1, path(T1, 65500, 65501 + number, **more), some), 2.0)
    run(node.engine)
    _programmed(1000)(node)
    for step in history:
        step(node)
    return node


# The plain definition ---------------------------------------------------------------------------


def known(node: Engine, gateway: Gateway, table: bool) -> list[Prefix]:
    """Every prefix of the list, in order."""
    if table:
        found = set(gateway.table.primary)
    else:
        found = {p for p in gateway.rib.routes if gateway.rib.get(p) is not None}
        for session in node.sessions.values():
            found |= {*session.adj.refused, *session.adj.shed}
    return sorted(found, key=lambda p: (len(p), p))


def paths_of(node: Engine, gateway: Gateway, prefix: Prefix, table: bool) -> list[tuple[str, Attributes]]:
    """Every path to a prefix, refused ones too."""
    accepted = gateway.rib.get(prefix)
    found: list[tuple[str, Attributes]] = list(accepted.paths.items()) if accepted is not None else []
    for session in node.sessions.values() if not table else ():
        if prefix in session.adj.refused:
            found.append((session.id, session.adj.refused[prefix][0]))
        if prefix in session.adj.shed:
            found.append((session.id, session.adj.shed[prefix]))
    return found


def path_passes(query: RouteFilter, session: str, attributes: Attributes) -> bool:
    """One path by session, asn and community."""
    values = {"65500:1": 65500 << 16 | 1, "no-export": 0xFFFFFF01, "1:2:3": (1, 2, 3)}
    return (
        query.session in (None, session)
        and (query.asn is None or any(query.asn in s.asns for s in attributes.as_path))
        and (
            query.community is None
            or values[query.community] in (*attributes.communities, *attributes.large_communities)
        )
    )


def naive(node: Engine, query: RouteFilter, table: bool) -> list[Prefix]:
    """What a look at every route finds."""
    gateway = node.gateways["gw1"]
    found = known(node, gateway, table)
    if query.prefix is not None:
        wanted = parse_prefix(query.prefix)
        by_address: dict[str, Callable[[Prefix], bool]] = {
            "exact": lambda p: p == wanted,
            "longer": lambda p: covers(wanted, p),
            "covering": lambda p: covers(p, wanted),
            "best": lambda p: covers(p, wanted),
        }
        found = [p for p in found if by_address[query.match](p)]
        if query.match == "best":
            found = found[-1:]
    if query.family is not None:
        found = [p for p in found if len(p) == {"ipv4": 5, "ipv6": 17}[query.family]]
    if query.session or query.asn is not None or query.community:
        found = [
            p for p in found if any(path_passes(query, *one) for one in paths_of(node, gateway, p, table))
        ]
    if query.state is not None:
        found = [p for p in found if query.state == ("installed" if table else route_state(gateway, p)[0])]
    return found


# Pages ------------------------------------------------------------------------------------------


def asked(
    found: RouteQueries, node: Node, table: bool, query: RouteFilter, limit: int, cursor: str | None
) -> Generator[None, None, Page]:
    ask = found.table_routes if table else found.routes
    return ask(node.engine.gateways["gw1"], query, limit, cursor)


def worked_off(work: Generator[None, None, Page]) -> Page:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            page: Page = stop.value
            return page


def after(prefixes: list[Prefix], last: str | None) -> list[str]:
    """Those behind the last one of the page before, as text."""
    if last is None:
        return [format_prefix(p) for p in prefixes]
    behind = parse_prefix(last)
    return [format_prefix(p) for p in prefixes if (len(p), p) > (len(behind), behind)]


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(HISTORIES, st.lists(HISTORIES, max_size=4), FILTERS, st.booleans(), LIMITS, ORDERED)
def test_each_page_is_what_a_look_at_every_route_finds(
    history: list[Step],
    between: list[list[Step]],
    query: RouteFilter,
    table: bool,
    limit: int,
    ordered: list[bool],
) -> None:
    node = begun(history)
    found = RouteQueries(node.engine, lambda: 0.0)
    worked_off(asked(found, node, table, RouteFilter(), 1, None))
    cursor, last = None, None
    for number in range(60):
        for order in found.due() if ordered[number % len(ordered)] else ():
            for _ in order.build():
                pass
        for step in between[number] if number < len(between) else ():
            step(node)
        expected = after(naive(node.engine, query, table), last)
        page = worked_off(asked(found, node, table, query, limit, cursor))
        assert [item.prefix for item in page.items] == expected[:limit]
        assert (page.next_cursor is not None) is (len(expected) > limit)
        if page.matching is not None:
            assert page.matching == len(naive(node.engine, query, table))
        if page.next_cursor is None:
            return
        cursor, last = page.next_cursor, page.items[-1].prefix
    raise AssertionError("pages that never end")


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    HISTORIES, st.lists(STEPS, max_size=8), FILTERS, st.booleans(), st.sampled_from([1, 3, 50]), st.booleans()
)
def test_what_matches_all_the_time_is_found_whatever_happens_meanwhile(
    history: list[Step], meanwhile: list[Step], query: RouteFilter, table: bool, limit: int, ordered: bool
) -> None:
    node = begun(history)
    found = RouteQueries(node.engine, lambda: 0.0)
    worked_off(asked(found, node, table, RouteFilter(), 1, None))
    # The table may change while it is put in order, too.
    building = [order.build() for order in found.due()] if ordered else []
    search = asked(found, node, table, query, limit, None)
    always = set(naive(node.engine, query, table))
    ever = set(always)
    page = None
    while page is None:
        for step in meanwhile[:1]:
            step(node)
        meanwhile = meanwhile[1:]
        now = set(naive(node.engine, query, table))
        always &= now
        ever |= now
        for work in building:
            next(work, None)
        try:
            next(search)
        except StopIteration as stop:
            page = stop.value
    items = [parse_prefix(item.prefix) for item in page.items]
    assert items == sorted(set(items), key=lambda p: (len(p), p))
    assert set(items) <= ever
    kept = sorted(always, key=lambda p: (len(p), p))
    if page.next_cursor is not None:
        end = queries.decode_cursor(page.next_cursor)
        kept = [p for p in kept if (len(p), p) <= (len(end), end)]
    # The longest match of a moment may be shorter than that of another.
    if query.match != "best" or query.prefix is None:
        assert set(kept) <= set(items)
