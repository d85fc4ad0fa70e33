"""Which of many prefixes a search keeps: by their paths, by their state, the smallest ones. Pure.

Each of a million prefixes may be looked at for one page. So what is asked of a path set is asked once for
each set, and what is left to do for each prefix are a few operations that run at the speed of C.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from operator import eq, ne

from bgpsvc.fib.ops import METRIC_PRIMARY
from bgpsvc.gateway import Gateway
from bgpsvc.model import Prefix
from bgpsvc.rib import PathSet
from bgpsvc.route_order import PORTION, portions
from bgpsvc.route_search import PathTest, Span, any_path
from bgpsvc.routes_report import route_state
from bgpsvc.session import Session
from bgpsvc.views import RouteState

SPARSE = 20_000
"""So many prefixes are sorted at once, and remembered."""

MOST_VERDICTS = 500_000
"""Of path sets that no prefix has any more, some."""

Test = Callable[[PathSet], bool]


class Verdicts(dict[PathSet | None, bool]):
    """What a test says of path sets, asked when it is first looked up; False of none."""

    def __init__(self, test: Test) -> None:
        super().__init__({None: False})
        self.test = test

    def __missing__(self, paths: PathSet | None) -> bool:
        assert paths is not None
        verdict = self[paths] = self.test(paths)
        return verdict


@dataclass(slots=True)
class Matches:
    """The prefixes of a Loc-RIB some of whose paths pass a test, as of `moves`."""

    verdicts: Verdicts
    moves: int = -1
    prefixes: list[Prefix] = field(default_factory=list)
    """In address order only while they are `sparse`."""

    @property
    def sparse(self) -> bool:
        """They are few."""
        return len(self.prefixes) <= SPARSE

    def find(self, gateway: Gateway) -> Generator[None, None, None]:
        """Look at all prefixes, unless nothing changed."""
        rib = gateway.rib
        if self.moves == rib.moves:
            return
        moves = rib.moves
        if rib.leaving or len(self.verdicts) > MOST_VERDICTS:
            # Of a set that names a session that left, the paths of that one are no longer asked for.
            self.verdicts = Verdicts(self.verdicts.test)
        keys, sets = list(rib.routes), list(rib.routes.values())
        found: list[Prefix] = []
        for names, paths in zip(portions(keys), portions(sets), strict=True):
            yield
            found += compress(names, map(self.verdicts.__getitem__, paths))
        if len(found) <= SPARSE:
            found.sort(key=_in_order)
        self.prefixes, self.moves = found, moves

    def within(self, span: Span) -> list[Prefix]:
        """Those in a span, while they are sparse."""
        return [prefix for prefix in self.prefixes if span.holds(prefix)]


def _in_order(prefix: Prefix) -> tuple[int, Prefix]:
    return len(prefix), prefix


def smallest(
    prefixes: Sequence[Prefix], span: Span, wanted: int, keep: Callable[[Sequence[Prefix]], list[Prefix]]
) -> Generator[None, None, list[Prefix]]:
    """The first ones of a span that are kept, in order, of prefixes in no order."""
    low, high, size = span.low, span.high, len(span.high)
    found: list[Prefix] = []
    for portion in portions(prefixes):
        yield
        # What is behind the first ones that are known is out at the first comparison.
        found += keep([p for p in portion if p <= high and len(p) == size and p > low])
        if len(found) > 4 * wanted:
            found.sort()
            del found[wanted:]
            high = found[-1]
    found.sort()
    return found[:wanted]


NO_GROUP = -1


class _Expected(dict[PathSet | None, int | None]):
    """The kernel's group for a path set; `unwanted` for those that belong into no table."""

    def __init__(self, gateway: Gateway, unwanted: int | None) -> None:
        super().__init__({None: unwanted})
        self._propagate = gateway.propagate
        self._unwanted = unwanted

    def __missing__(self, paths: PathSet | None) -> int | None:
        assert paths is not None
        target = paths.forwarding.target[0] if self._propagate else None
        group = self[paths] = self._unwanted if target is None else target
        return group


def in_state(
    gateway: Gateway, state: RouteState, prefixes: Sequence[Prefix], sets: Sequence[PathSet | None]
) -> list[Prefix]:
    """Those of the prefixes, which have these path sets, that are in a state: see `route_state`."""
    published = gateway.statics.published
    if gateway.rib.leaving:
        return [prefix for prefix in prefixes if route_state(gateway, prefix)[0] == state]
    if state == "not_installed":
        wanted = map(_Expected(gateway, NO_GROUP).__getitem__, sets)
        return [
            prefix
            for prefix, group in zip(prefixes, wanted, strict=True)
            if group == NO_GROUP or (prefix in published and route_state(gateway, prefix)[0] == state)
        ]
    groups = map(gateway.table.primary.get, prefixes)
    if state == "installed":
        expected = _Expected(gateway, NO_GROUP)
        found = list(compress(prefixes, map(eq, groups, map(expected.__getitem__, sets))))
        return [p for p in found if p not in published or route_state(gateway, p)[0] == state]
    # What is nowhere and belongs nowhere is passed over quickly: the rest are few.
    expected = _Expected(gateway, None)
    other = compress(prefixes, map(ne, groups, map(expected.__getitem__, sets)))
    return [prefix for prefix in other if route_state(gateway, prefix)[0] == state]


def lacking(gateway: Gateway, state: RouteState, *, in_flight: bool) -> list[Prefix] | None:
    """Prefixes among which all in a state are, as far as those are few; None if that is not known."""
    table, rib = gateway.table, gateway.rib
    if state == "failed" and len(table.failed) <= SPARSE:
        return [prefix for prefix, metric in table.failed if metric == METRIC_PRIMARY]
    held_up = [table.waiting, *table.blocked.values()]
    if state == "pending" and not in_flight and sum(map(len, held_up), len(table.dirty)) <= SPARSE:
        return list({*table.dirty, *chain.from_iterable(held_up)})
    wanted = gateway.propagate and not rib.leaving
    if state == "not_installed" and wanted and all(c.target[0] is not None for c in rib.every_class()):
        return list(gateway.statics.published)
    return None


def wanted_nowhere(gateway: Gateway) -> Verdicts:
    """The path sets whose prefixes belong into no table. Good for a short while."""
    expected = _Expected(gateway, NO_GROUP)
    return Verdicts(lambda paths: expected[paths] == NO_GROUP)


class Refused:
    """Paths that are in no Loc-RIB: refused by policy, or over the maximum number of prefixes."""

    def __init__(self, sessions: Sequence[Session], test: PathTest | None) -> None:
        self._sessions = [s for s in sessions if s.adj.refused or s.adj.shed]
        self._test = test

    def __bool__(self) -> bool:
        return bool(self._sessions)

    @property
    def owners(self) -> tuple[int, ...]:
        """What tells the sessions that have such paths from others, while these live."""
        return tuple(map(id, self._sessions))

    def known(self, prefix: Prefix) -> bool:
        """There is such a path to the prefix."""
        return any(prefix in s.adj.refused or prefix in s.adj.shed for s in self._sessions)

    def has(self, prefix: Prefix) -> bool:
        """There is one that passes the test."""
        for session in self._sessions:
            refused = session.adj.refused.get(prefix)
            attributes = refused[0] if refused is not None else session.adj.shed.get(prefix)
            if attributes is not None and (self._test is None or self._test(session.id, attributes)):
                return True
        return False

    def find(self) -> Generator[None, None, list[Prefix]]:
        """All such prefixes, in no order, each once."""
        found: dict[Prefix, None] = {}
        for session in self._sessions:
            adj = session.adj
            # Not items(): a tuple for each of so many would keep everybody waiting.
            names, refused, shed = (
                [*adj.refused, *adj.shed],
                list(adj.refused.values()),
                list(adj.shed.values()),
            )
            if self._test is None:
                for some in portions(names):
                    yield
                    found.update(dict.fromkeys(some))
                continue
            verdicts: dict[int, bool] = {}
            paths = chain((attributes for attributes, _ in refused), shed)
            for number, (prefix, attributes) in enumerate(zip(names, paths, strict=True)):
                if number % PORTION == 0:
                    yield
                verdict = verdicts.get(id(attributes))
                if verdict is None:
                    verdict = verdicts[id(attributes)] = self._test(session.id, attributes)
                if verdict:
                    found[prefix] = None
        return list(found)


@dataclass(slots=True)
class Beside:
    """What matches by refused paths, in no order; without a test what has none but such. As of `seen`."""

    seen: object = None
    prefixes: list[Prefix] = field(default_factory=list)

    def find(self, gateway: Gateway, refused: Refused, tested: bool) -> Generator[None, None, list[Prefix]]:
        """Look at all refused paths, unless nothing changed."""
        rib = gateway.rib
        seen = rib.moves, rib.leaving, refused.owners
        if self.seen == seen:
            return self.prefixes
        found = yield from refused.find()
        if not tested:
            kept: list[Prefix] = []
            for portion in portions(found):
                yield
                accepted = rib.get if rib.leaving else rib.routes.get
                kept += [prefix for prefix in portion if accepted(prefix) is None]
            found = kept
        self.prefixes, self.seen = found, seen
        return found


def tested(test: PathTest) -> Matches:
    """Matches of a test of single paths, not looked for yet."""
    passes = any_path(test)
    return Matches(Verdicts(lambda paths: passes(paths.paths)))


def alive() -> Verdicts:
    """The path sets that have any paths left."""
    return Verdicts(lambda paths: bool(paths.paths))
