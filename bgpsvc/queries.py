"""Filters and keyset pages over a million routes. Pure.

A page costs a bounded number of looks beyond the sorting: where a filter matches little, a page may
hold fewer items than asked for, or none, and still name a next cursor.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator

from bgpsvc.engine import Engine
from bgpsvc.gateway import Gateway
from bgpsvc.model import (
    WELL_KNOWN_COMMUNITIES,
    Attributes,
    Family,
    Prefix,
    SessionId,
    pack_prefix,
    parse_address,
    parse_prefix,
)
from bgpsvc.rib import PathSet
from bgpsvc.routes_report import route_state, route_view, table_route_view
from bgpsvc.views import InvalidQuery, Page, RouteFilter

LOOKS_PER_PAGE = 50_000
_NAMED_COMMUNITIES = {name: value for value, name in WELL_KNOWN_COMMUNITIES.items()}


class SortedPrefixes:
    """The prefixes of a mapping in address order, by family.

    Sorting a million takes a second, so a large table that keeps changing is sorted again only after
    `REST` times what the last sorting took. What left the table meanwhile is passed over; what came
    meanwhile shows up with the next sorting. `clock` is the caller's, in seconds.
    """

    SMALL = 20_000
    REST = 10.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._version: object = None
        self._not_before = 0.0
        self._sorted: dict[Family, list[Prefix]] = {Family.IPV4: [], Family.IPV6: []}

    def of(self, version: object, prefixes: Callable[[], Collection[Prefix]]) -> dict[Family, list[Prefix]]:
        """Sorted lists by family; `prefixes` is asked only if `version` differs from the last sorting's."""
        if version == self._version:
            return self._sorted
        began = self._clock()
        if sum(map(len, self._sorted.values())) > self.SMALL and began < self._not_before:
            return self._sorted
        everything = prefixes()
        self._sorted = {
            Family.IPV4: sorted(p for p in everything if len(p) == 5),
            Family.IPV6: sorted(p for p in everything if len(p) == 17),
        }
        self._version = version
        ended = self._clock()
        self._not_before = ended + self.REST * (ended - began)
        return self._sorted


def encode_cursor(prefix: Prefix) -> str:
    """A cursor behind a prefix."""
    return base64.urlsafe_b64encode(prefix).decode().rstrip("=")


def decode_cursor(cursor: str) -> Prefix:
    """The prefix of a cursor; InvalidQuery if it is none of ours."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return pack_prefix(raw[:-1], raw[-1])
    except (binascii.Error, ValueError, IndexError):
        raise InvalidQuery("cursor", f"{cursor!r} is not a cursor that a page returned") from None


def parse_match(query: RouteFilter) -> Prefix | None:
    """The prefix of a filter; for `best` a bare address becomes a host prefix. Raises InvalidQuery."""
    text = query.prefix
    if text is None:
        return None
    try:
        if "/" not in text and query.match == "best":
            address = parse_address(text)
            return pack_prefix(address, len(address) * 8)
        return parse_prefix(text)
    except ValueError as error:
        raise InvalidQuery("prefix", str(error)) from None


def matching(
    prefix: Prefix | None,
    query: RouteFilter,
    known: Callable[[Prefix], bool],
    order: Callable[[], dict[Family, list[Prefix]]],
    cursor: Prefix | None,
) -> Iterator[Prefix]:
    """Prefixes that match by address, in order, behind the cursor."""
    families = [f for f in Family if query.family in (None, f.label)]
    if prefix is None:
        for family in families:
            yield from _behind(order()[family], family, cursor)
        return
    family = Family.IPV4 if len(prefix) == 5 else Family.IPV6
    if family not in families:
        return
    found: Iterable[Prefix]
    if query.match == "exact":
        found = [prefix] if known(prefix) else []
    elif query.match == "longer":
        keys = order()[family]
        start = bisect_left(keys, prefix)
        if cursor is not None and len(cursor) == len(prefix):
            start = max(start, bisect_right(keys, cursor))
        inside = (keys[index] for index in range(start, _end(keys, prefix)))
        found = (p for p in inside if p[-1] >= prefix[-1])
    else:
        found = [p for p in _covering(prefix) if known(p)]
        if query.match == "best":
            found = found[-1:]
    for match in found:
        if cursor is None or _after(match, cursor):
            yield match


def _after(prefix: Prefix, cursor: Prefix) -> bool:
    return (len(prefix), prefix) > (len(cursor), cursor)


def _behind(keys: list[Prefix], family: Family, cursor: Prefix | None) -> Iterator[Prefix]:
    start = 0
    if cursor is not None:
        if len(cursor) == (5 if family is Family.IPV4 else 17):
            start = bisect_right(keys, cursor)
        elif len(cursor) == 17:
            return  # IPv4 lies wholly before an IPv6 cursor
    for index in range(start, len(keys)):
        yield keys[index]


def _end(keys: list[Prefix], prefix: Prefix) -> int:
    bits = (len(prefix) - 1) * 8
    last = int.from_bytes(prefix[:-1], "big") | ((1 << (bits - prefix[-1])) - 1)
    return bisect_right(keys, Prefix(last.to_bytes(bits // 8, "big") + b"\xff"))


def _covering(prefix: Prefix) -> list[Prefix]:
    """Everything that contains the prefix, itself included, least specific first."""
    bits = (len(prefix) - 1) * 8
    number = int.from_bytes(prefix[:-1], "big")
    return [
        Prefix((number >> (bits - n) << (bits - n)).to_bytes(bits // 8, "big") + bytes((n,)))
        for n in range(prefix[-1] + 1)
    ]


PathTest = Callable[[SessionId, Attributes], bool]


def path_test(query: RouteFilter) -> PathTest | None:
    """A test of one path for the session, asn and community filters; None if there are none."""
    tests: list[PathTest] = []
    if query.session is not None:
        wanted = query.session
        tests.append(lambda session, _: session == wanted)
    if query.asn is not None:
        asn = query.asn
        tests.append(lambda _, attributes: attributes.has_asn(asn))
    if query.community is not None:
        tests.append(_community_test(query.community))
    return (lambda s, a: all(test(s, a) for test in tests)) if tests else None


def _community_test(text: str) -> PathTest:
    if text in _NAMED_COMMUNITIES:
        value = _NAMED_COMMUNITIES[text]
        return lambda _, attributes: value in attributes.communities
    parts = text.split(":")
    limit = 0xFFFF if len(parts) == 2 else 0xFFFFFFFF
    if len(parts) not in (2, 3) or not all(p.isascii() and p.isdigit() and int(p) <= limit for p in parts):
        allowed = ", ".join(sorted(_NAMED_COMMUNITIES))
        raise InvalidQuery(
            "community", f"{text!r} is not a community; allowed: 65000:100, 65000:1:2 (large), {allowed}"
        )
    numbers = tuple(int(p) for p in parts)
    if len(numbers) == 2:
        packed = numbers[0] << 16 | numbers[1]
        return lambda _, attributes: packed in attributes.communities
    return lambda _, attributes: numbers in attributes.large_communities


def page(
    candidates: Iterator[Prefix], keep: Callable[[Prefix], bool], limit: int
) -> tuple[list[Prefix], str | None]:
    """Up to `limit` kept prefixes and the cursor behind them."""
    items: list[Prefix] = []
    last: Prefix | None = None
    for looks, prefix in enumerate(candidates, start=1):
        if len(items) == limit or looks > LOOKS_PER_PAGE:
            return items, encode_cursor(last) if last is not None else None
        last = prefix
        if keep(prefix):
            items.append(prefix)
    return items, None


class RouteQueries:
    """Pages of routes of an engine's gateways."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._rib_order: dict[str, SortedPrefixes] = {}
        self._table_order: dict[str, SortedPrefixes] = {}

    def routes(self, gateway: Gateway, query: RouteFilter, limit: int, cursor: str | None) -> Page:
        """A page of the Loc-RIB (RouteView), with prefixes that have only refused paths."""
        routes = gateway.rib.routes
        sessions = [s for s in self._engine.sessions.values() if s.settings.gateway == gateway.name]

        def known(prefix: Prefix) -> bool:
            return gateway.rib.get(prefix) is not None or any(
                prefix in s.adj.refused or prefix in s.adj.shed for s in sessions
            )

        def everything() -> set[Prefix]:
            return set(routes).union(*(s.adj.refused for s in sessions), *(s.adj.shed for s in sessions))

        order = self._rib_order.setdefault(gateway.name, SortedPrefixes(self._clock))
        test = path_test(query)
        seen: dict[PathSet, bool] = {}

        def keep(prefix: Prefix) -> bool:
            if not known(prefix):
                return False
            if test is not None:
                paths = routes.get(prefix)
                hit = False
                if paths is not None:
                    if paths not in seen:
                        seen[paths] = any(test(s, a) for s, a in paths.paths.items())
                    hit = seen[paths]
                if not hit and not any(
                    (prefix in s.adj.refused and test(s.id, s.adj.refused[prefix][0]))
                    or (prefix in s.adj.shed and test(s.id, s.adj.shed[prefix]))
                    for s in sessions
                ):
                    return False
            return query.state is None or route_state(gateway, prefix)[0] == query.state

        found = matching(
            parse_match(query),
            query,
            known,
            lambda: order.of(gateway.rib.version, everything),
            decode_cursor(cursor) if cursor is not None else None,
        )
        items, following = page(found, keep, limit)
        return Page(tuple(route_view(self._engine, gateway, p) for p in items), following)

    def table_routes(self, gateway: Gateway, query: RouteFilter, limit: int, cursor: str | None) -> Page:
        """A page of the VPC's kernel table (TableRouteView)."""
        primary = gateway.table.primary
        order = self._table_order.setdefault(gateway.name, SortedPrefixes(self._clock))
        test = path_test(query)

        def keep(prefix: Prefix) -> bool:
            if prefix not in primary or query.state not in (None, "installed"):
                return False
            if test is None:
                return True
            paths = gateway.rib.routes.get(prefix)
            return paths is not None and any(test(s, a) for s, a in paths.paths.items())

        found = matching(
            parse_match(query),
            query,
            primary.__contains__,
            lambda: order.of(self._engine.fib.version, lambda: primary),
            decode_cursor(cursor) if cursor is not None else None,
        )
        items, following = page(found, keep, limit)
        return Page(tuple(table_route_view(self._engine, gateway, p) for p in items), following)
