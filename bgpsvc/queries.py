"""Filters and keyset pages over a million routes. Pure.

A search is a generator: between its steps, each of a millisecond or so, others have their turn and the
tables may change. Its page holds what matches at its end; a prefix that came or changed meanwhile may be
missing from it, one that matched all the time is not. How a page is found:

- Single prefixes (exact, covering, best) are looked up.
- Without a filter by paths the order of all prefixes is walked from the cursor on (`RouteOrder`).
- With one the path sets are asked, then which prefixes have one that matches. Few are sorted and remembered
  until the paths of some prefix change; for many the order is walked.
- While nothing is in order yet, or only few match, the first ones behind the cursor are picked out of all.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from bgpsvc.bulk import Arrivals
from bgpsvc.engine import Engine
from bgpsvc.gateway import Gateway
from bgpsvc.model import Prefix, pack_prefix
from bgpsvc.port import InvalidQuery, RouteFilter
from bgpsvc.rib import PathSet
from bgpsvc.route_filters import (
    SPARSE,
    Beside,
    Matches,
    Refused,
    Verdicts,
    alive,
    in_state,
    lacking,
    smallest,
    tested,
    wanted_nowhere,
)
from bgpsvc.route_order import BLOCK, RouteOrder, portions
from bgpsvc.route_search import PathTest, Places, Span, any_path, path_test, places, understood
from bgpsvc.routes_report import route_state, route_view, table_route_view
from bgpsvc.views import Page

WALKED = 4 * BLOCK
"""Prefixes that are looked at in order, for those of a page, before all are looked at in another order."""
REMEMBERED, MOST_REMEMBERED = 8, 2_000_000
"""Searches by paths whose matches are kept, and so many matches of all of them; the latest anyhow."""
VIEWS_AT_ONCE = 50

Steps = Generator[None, None, Page]


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


@dataclass
class Listed:
    """A list of routes of a gateway, as one search goes through it."""

    gateway: Gateway
    order: RouteOrder
    query: RouteFilter
    test: PathTest | None
    matches: Matches | None
    """Of the test."""
    refused: Refused
    """None of them in a VPC's table."""
    beside: Beside
    """Of these."""
    table: bool
    """The VPC's table, not the Loc-RIB."""
    in_flight: Callable[[], bool]
    """Routes are on their way to the kernel, nobody knows which."""

    @property
    def choosy(self) -> bool:
        """Not all that there are match."""
        return self.matches is not None or (self.query.state is not None and not self.table)

    @property
    def members(self) -> Mapping[Prefix, Any]:
        """What there is, but for refused paths."""
        return self.gateway.table.primary if self.table else self.gateway.rib.routes

    def holds(self, prefix: Prefix) -> bool:
        """The list has the prefix, whatever is asked of it."""
        if self.table:
            return prefix in self.gateway.table.primary
        return self.gateway.rib.get(prefix) is not None or self.refused.known(prefix)

    def passes(self, prefix: Prefix) -> bool:
        """The list has the prefix, and it matches."""
        if not self.holds(prefix):
            return False
        if self.test is not None:
            paths = self.gateway.rib.get(prefix)
            if not (paths is not None and any_path(self.test)(paths.paths)) and not self.refused.has(prefix):
                return False
        state = self.query.state
        if state is None:
            return True
        return state == ("installed" if self.table else route_state(self.gateway, prefix)[0])

    def keep(self, prefixes: Sequence[Prefix]) -> list[Prefix]:
        """Those of many that pass, but for what refused paths make pass."""
        gateway = self.gateway
        if self.table:
            prefixes = list(filter(self.members.__contains__, prefixes))
            if self.test is None:
                return prefixes
        sets: list[PathSet | None] = list(map(gateway.rib.routes.get, prefixes))
        verdicts: Verdicts | None = alive() if gateway.rib.leaving else None
        if self.matches is not None:
            verdicts = self.matches.verdicts
        passing = list(map(bool, sets) if verdicts is None else map(verdicts.__getitem__, sets))
        kept = list(compress(prefixes, passing))
        if self.table or self.query.state is None:
            return kept
        return in_state(gateway, self.query.state, kept, list(compress(sets, passing)))

    def keep_refused(self, prefixes: Sequence[Prefix]) -> list[Prefix]:
        """Those of many whose refused paths match that pass by their state, too."""
        state, gateway = self.query.state, self.gateway
        if state is None:
            return list(prefixes)
        return [prefix for prefix in prefixes if route_state(gateway, prefix)[0] == state]


class RouteQueries:
    """Pages of routes of an engine's gateways."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._orders: dict[tuple[Gateway, bool], RouteOrder] = {}
        self._searches: OrderedDict[object, tuple[Matches | None, Beside]] = OrderedDict()

    def due(self) -> list[RouteOrder]:
        """Tables that were asked for and are to be put in order: `build` takes long."""
        self._drop_orders()
        return [order for order in self._orders.values() if order.due]

    def forget(self) -> None:
        """Keep nothing of former searches: what they found may hold on to tables that are gone."""
        self._searches.clear()
        self._drop_orders()

    def _drop_orders(self) -> None:
        living = self._engine.gateways
        for key in [key for key in self._orders if living.get(key[0].name) is not key[0]]:
            del self._orders[key]

    def routes(self, gateway: Gateway, query: RouteFilter, limit: int, cursor: str | None) -> Steps:
        """A page of the Loc-RIB (RouteView), with prefixes that have only refused paths."""
        listed = self._listed(gateway, query, table=False)
        return self._page(listed, limit, cursor, lambda prefix: route_view(self._engine, gateway, prefix))

    def table_routes(self, gateway: Gateway, query: RouteFilter, limit: int, cursor: str | None) -> Steps:
        """A page of the VPC's kernel table (TableRouteView)."""
        listed = self._listed(gateway, query, table=True)
        return self._page(listed, limit, cursor, lambda p: table_route_view(self._engine, gateway, p))

    def _listed(self, gateway: Gateway, query: RouteFilter, table: bool) -> Listed:
        sessions = [s for s in self._engine.sessions.values() if s.settings.gateway == gateway.name]
        query = understood(query, [s.id for s in sessions])
        test = path_test(query)
        matches, beside = self._remembered(gateway, query, test)
        refused = Refused(() if table else sessions, test)
        fib = self._engine.fib
        return Listed(
            gateway,
            self._order(gateway, table),
            query,
            test,
            matches,
            refused,
            beside,
            table,
            lambda: fib.in_flight,
        )

    def _order(self, gateway: Gateway, table: bool) -> RouteOrder:
        known = self._orders.get((gateway, table))
        if known is None:

            def members() -> Mapping[Prefix, Any]:
                return gateway.table.primary if table else gateway.rib.routes

            def arrivals() -> Arrivals:
                return gateway.table.arrivals if table else gateway.rib.arrivals

            known = self._orders[gateway, table] = RouteOrder(members, arrivals, self._clock)
        return known

    def _remembered(
        self, gateway: Gateway, query: RouteFilter, test: PathTest | None
    ) -> tuple[Matches | None, Beside]:
        key = (gateway, query.session, query.asn, query.community)
        known = self._searches.pop(key, None) or (None if test is None else tested(test), Beside())
        self._searches[key] = known
        while len(self._searches) > 1 and (
            len(self._searches) > REMEMBERED or self._prefixes_remembered() > MOST_REMEMBERED
        ):
            self._searches.popitem(last=False)
        return known

    def _prefixes_remembered(self) -> int:
        searches = self._searches.values()
        return sum(len(b.prefixes) + (0 if m is None else len(m.prefixes)) for m, b in searches)

    # Pages ------------------------------------------------------------------------------------

    def _page(self, listed: Listed, limit: int, cursor: str | None, view: Callable[[Prefix], Any]) -> Steps:
        after = decode_cursor(cursor) if cursor is not None else None
        where = places(listed.query)
        found, matching = yield from _found(listed, where, limit + 1, after)
        following = encode_cursor(found[limit - 1]) if len(found) > limit else None
        items: list[Any] = []
        for number, prefix in enumerate(found[:limit], start=1):
            if listed.passes(prefix):  # it did when it was found
                items.append(view(prefix))
            if number % VIEWS_AT_ONCE == 0:
                yield
        if cursor is None and following is None:
            matching = len(items)
        return Page(tuple(items), following, matching)


Found = Generator[None, None, tuple[list[Prefix], int | None]]


def _found(listed: Listed, where: Places, wanted: int, after: Prefix | None) -> Found:
    """The first prefixes behind `after`, and how many match on all pages, if that is known."""
    if where.only is not None:
        only = [prefix for prefix in where.only if listed.holds(prefix)]
        matching = [p for p in (only[-1:] if where.best else only) if listed.passes(p)]
        return [p for p in matching if after is None or _place(p) > _place(after)][:wanted], len(matching)
    if listed.matches is not None:
        yield from listed.matches.find(listed.gateway)
    beside: Sequence[Prefix] = ()
    if listed.refused:
        beside = yield from listed.beside.find(listed.gateway, listed.refused, listed.test is not None)
    among = yield from _among(listed)
    found: list[Prefix] = []
    for span in where.spans:
        left = span.behind(after)
        ranked = yield from _ranked(listed, among, left, wanted - len(found))
        refused = yield from smallest(beside, left, wanted - len(found), listed.keep_refused)
        found += sorted({*ranked, *refused})[: wanted - len(found)]
        if len(found) == wanted:
            break
    return found, (yield from _count(listed, where, beside))


def _place(prefix: Prefix) -> tuple[int, Prefix]:
    return len(prefix), prefix


def _ranked(
    listed: Listed, among: Sequence[Prefix] | None, span: Span, wanted: int
) -> Generator[None, None, list[Prefix]]:
    """The first ones of a span that match by what `keep` looks at, in order."""
    if wanted <= 0 or span.low >= span.high:
        return []
    if among is not None and len(among) <= SPARSE:
        return (yield from _first(sorted(filter(span.holds, among)), wanted, listed))
    blocks = yield from listed.order.blocks()
    found: list[Prefix] = []
    if blocks is not None:
        ordered, low = blocks[span.family], span.low
        # One at a time they cost ten times what they do all together, as they lie all over the memory.
        most = WALKED if listed.choosy else len(ordered)
        at_once = BLOCK if listed.choosy else wanted
        while most > 0 and len(found) < wanted:
            portion = ordered.after(low, span.high, at_once)
            if not portion:
                return found
            found += listed.keep(portion)
            low, most = portion[-1], most - len(portion)
            yield
        if len(found) >= wanted:
            return found[:wanted]
        span = replace(span, low=low)
    source = list(listed.members) if among is None else among
    return found + (yield from smallest(source, span, wanted - len(found), listed.keep))


def _first(prefixes: Sequence[Prefix], wanted: int, listed: Listed) -> Generator[None, None, list[Prefix]]:
    found: list[Prefix] = []
    for portion in portions(prefixes):
        found += listed.keep(portion)
        if len(found) >= wanted:
            break
        yield
    return found[:wanted]


def _among(listed: Listed) -> Generator[None, None, list[Prefix] | None]:
    """Prefixes of which all that match are some, in no order; None: all there are."""
    gateway, state = listed.gateway, listed.query.state
    if listed.table:
        if state not in (None, "installed"):
            return []
    elif state is not None:
        few = lacking(gateway, state, in_flight=listed.in_flight())
        if few is not None:
            return few
    if listed.matches is not None:
        return listed.matches.prefixes
    if state == "not_installed" and not listed.table:
        unwanted = Matches(wanted_nowhere(gateway))
        yield from unwanted.find(gateway)
        return [*unwanted.prefixes, *gateway.statics.published]
    return None


def _count(listed: Listed, where: Places, beside: Sequence[Prefix]) -> Generator[None, None, int | None]:
    """How many match in all; None where only a look at each would tell."""
    query, matches, routes = listed.query, listed.matches, listed.gateway.rib.routes
    if query.state is not None or (listed.gateway.rib.leaving and not listed.table):
        return None  # a page that is the only one is counted all the same
    whole = query.prefix is None and query.family is None
    if not whole:
        beside = [prefix for prefix in beside if any(span.holds(prefix) for span in where.spans)]
    if matches is not None:
        if matches.sparse:
            inside = [p for span in where.spans for p in matches.within(span)]
            if listed.table:
                return sum(map(listed.members.__contains__, inside))
        elif whole and not listed.table:
            inside = matches.prefixes
        else:
            return None
        count = len(inside)
        for portion in portions(beside):
            count += sum(not matches.verdicts[routes.get(p)] for p in portion)
            yield
        return count
    if whole:
        return len(listed.members) + len(beside)
    blocks = yield from listed.order.blocks()
    if blocks is None:
        return None
    return len(beside) + sum(blocks[s.family].count(s.low, s.high) for s in where.spans)
