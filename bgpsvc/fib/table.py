"""One kernel table: the mirror of our routes in it, and the way from there to what is desired.

A portion of prefixes is compared at once: those that share a target and what the kernel has for it go one way
together. Most portions are a single such group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bgpsvc.bulk import Arrivals, Backlog, discard, grouped
from bgpsvc.fib.ops import METRIC_PRIMARY, NOT_LOOKED_UP, DeleteRoutes, OpError, SetRoutes
from bgpsvc.model import Prefix

Target = tuple[int | None, int | None]
"""Ids of a group (primary route) and of a backup nexthop, None for no route."""
Desired = Callable[[Sequence[Prefix]], Mapping[Target, Collection[Prefix]]]
"""Prefixes to the same prefixes by what the kernel should have for them."""

NOTHING: Target = (None, None)
UNKNOWN = 0
"""In a mirror: there may be a route, nobody knows over what. It is set again or deleted."""


@dataclass(slots=True)
class RouteTable:
    """The mirror of our routes in a kernel table, and which prefixes wait to be looked at.

    A retired one belongs to nobody any more and is forgotten once it is empty.
    """

    table: int
    desired: Desired
    held: bool = True
    retired: bool = False
    primary: dict[Prefix, int] = field(default_factory=dict)
    backup: dict[Prefix, int] = field(default_factory=dict)
    dirty: Backlog = field(default_factory=Backlog)
    dirty_backup: Backlog = field(default_factory=Backlog)
    waiting: dict[Prefix, None] = field(default_factory=dict)
    """Prefixes that differ but may not change while the table is held."""
    blocked: dict[int, dict[Prefix, None]] = field(default_factory=dict)
    """Prefixes whose group or nexthop cannot be had now (its link is down), by its id."""
    failed: dict[tuple[Prefix, int], OpError] = field(default_factory=dict)
    """Routes that the kernel refused, by prefix and metric; tried again by `Fib.retry`."""
    arrivals: Arrivals = field(default_factory=Arrivals)
    """Of `primary`."""

    def mark(self, prefixes: Iterable[Prefix]) -> None:
        """Look at these prefixes again."""
        self.dirty.add(prefixes)

    def mark_all(self) -> None:
        """Look at everything again that the kernel has of ours here."""
        self.mark(self.primary)
        self.mark(self.backup)

    def mark_waiting(self) -> None:
        """Look again at what may not change while the table is held."""
        self.mark(self.waiting)
        self.waiting = {}

    def look_again(self, gone: Container[int]) -> None:
        """Routes that the kernel refused because these ids are gone wait for them, and for no retry."""
        refused = [key for key, error in self.failed.items() if getattr(error.op, "nexthop", None) in gone]
        discard(self.failed, refused)
        self.mark(prefix for prefix, _ in refused)

    def installed(self, metric: int) -> dict[Prefix, int]:
        """The mirror of the routes with a metric: prefix to nexthop or group id."""
        return self.primary if metric == METRIC_PRIMARY else self.backup

    def plan(
        self, metric: int, available: Container[int], unprotected: Callable[[int], bool], budget: int
    ) -> list[SetRoutes | DeleteRoutes]:
        """Operations for about `budget` prefixes that wait, over nexthops or groups that are `available`.

        `unprotected` says whether a held route over such an id may change all the same.
        """
        primary = metric == METRIC_PRIMARY
        portion = (self.dirty if primary else self.dirty_backup).take(budget)
        number = self.table
        setting: list[SetRoutes | DeleteRoutes] = []
        deleting: list[SetRoutes | DeleteRoutes] = []
        for (group, backup), prefixes in self.desired(portion).items():
            if primary:
                self._compare_backup(prefixes, backup)
            want = group if primary else backup
            for have, members in self._by_present(metric, prefixes).items():
                if have == want:
                    continue
                if have is not None and self.held and not unprotected(have):
                    self.waiting.update(dict.fromkeys(members))
                elif want is None:
                    deleting += [DeleteRoutes(number, metric, part, have) for part in _by_family(members)]
                elif want in available:
                    setting += [SetRoutes(number, metric, want, part, have) for part in _by_family(members)]
                else:
                    self.blocked.setdefault(want, {}).update(dict.fromkeys(members))
        return setting + deleting

    def _by_present(
        self, metric: int, prefixes: Collection[Prefix]
    ) -> Mapping[int | None, Collection[Prefix]]:
        mirror = self.installed(metric)
        return grouped(prefixes, map(mirror.get, prefixes)) if mirror else {None: prefixes}

    def _compare_backup(self, prefixes: Collection[Prefix], backup: int | None) -> None:
        if not self.backup:
            if backup is not None:
                self.dirty_backup.add(prefixes)
            return
        for have, members in grouped(prefixes, map(self.backup.get, prefixes)).items():
            if have != backup:
                self.dirty_backup.add(members)

    def take_in(
        self, op: SetRoutes | DeleteRoutes, refused: Container[Prefix], touched: bool
    ) -> tuple[int, Mapping[int, int]]:
        """Move the mirror by an operation, but for refused prefixes.

        `touched`: others changed the mirror since the operation was planned. Returns how many prefixes moved,
        and the ids that were there before, with how often.
        """
        mirror = self.installed(op.metric)
        ident = op.nexthop if isinstance(op, SetRoutes) else None
        moved: dict[Prefix, Any] = dict.fromkeys(op.prefixes, ident)
        if refused:
            moved = {prefix: ident for prefix in moved if prefix not in refused}
        before: dict[Any, int] = {op.replaces: len(moved)}
        if touched or op.replaces == NOT_LOOKED_UP:
            before = Counter(map(mirror.get, moved))
        if op.metric == METRIC_PRIMARY and (ident is None or None in before):
            self.arrivals.note(moved)
        before.pop(None, None)
        if ident is None:
            discard(mirror, moved)
        else:
            mirror.update(moved)
            if self.failed:
                discard(self.failed, [(prefix, op.metric) for prefix in moved])
        return len(moved), before


def _by_family(prefixes: Collection[Prefix]) -> Iterable[tuple[Prefix, ...]]:
    return [tuple(part) for part in grouped(prefixes, map(len, prefixes)).values()]
