"""Many prefixes at once: what goes one way together costs no Python step for each of them.

A table of a million prefixes is a few hundred events, and the prefixes of an event mostly share everything:
attributes, path set, target. So each stage asks what a portion has in common, with operations that run at
the speed of C, and only what is mixed is told apart one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, repeat
from math import gcd
from typing import Any, TypeVar

from bgpsvc.model import Prefix

K = TypeVar("K")
V = TypeVar("V")

LARGE = 10_000
"""From so many prefixes on a set is queued as it is, without a look at each."""
MOST = 4_000_000
"""If more wait, those that wait twice are looked for, so that a queue is bounded by its prefixes."""
RUN = 32
"""Prefixes that stay together when a large set is spread: what was made together is looked at faster."""
_GOLDEN = 0.618


def grouped(keys: Collection[K], labels: Iterable[V]) -> Mapping[V, Collection[K]]:
    """Keys by the label beside each, in order; the keys themselves, uncopied, if all labels are equal."""
    beside = list(labels)
    if not beside:
        return {}
    if beside.count(beside[0]) == len(beside):
        return {beside[0]: keys}
    groups: dict[V, list[K]] = {label: [] for label in dict.fromkeys(beside)}
    for key, label in zip(keys, beside, strict=True):
        groups[label].append(key)
    return groups


def discard(table: dict[K, Any], keys: Iterable[K]) -> None:
    """Remove keys from a dictionary, those that are in it."""
    deque(map(table.pop, keys, repeat(None)), maxlen=0)


def spread(items: list[K], number: int, portions: int, run: int = RUN) -> list[K]:
    """Every n-th run of the items from run `number` on: one of n portions, each jumps over all of them."""
    starts = range(number * run, len(items), portions * run)
    return list(chain.from_iterable(items[start : start + run] for start in starts))


class Backlog:
    """Prefixes that wait to be looked at; one that is added again while it waits may come twice.

    A portion of a large set jumps over all of it, from a different place each time: the kernel's IPv4 trie
    takes insertions in address order half again as slowly as spread out, and deletions ten times.
    """

    __slots__ = ("_added", "_current", "_ends", "_large", "_left", "_portions", "_run", "_waiting")

    def __init__(self) -> None:
        self._added: dict[Prefix, object] = {}
        self._large: list[list[Prefix]] = []
        self._current: list[list[Prefix]] = []
        """Not made one: to touch a million prefixes takes 100 ms if they are all over the memory."""
        self._ends: list[int] = []
        """Where each of these ends in all of them."""
        self._run = 1
        self._portions = 0
        self._left = 0
        """Portions of the current list that are still to come."""
        self._waiting = 0
        """Prefixes of these, and of large sets."""

    def __len__(self) -> int:
        return len(self._added) + self._waiting

    def __iter__(self) -> Iterator[Prefix]:
        """Everything that waits, in no order."""
        yield from self._added
        for large in self._large:
            yield from large
        for number in range(self._portions - self._left, self._portions):
            yield from self._portion(number)

    def add(self, prefixes: Iterable[Prefix]) -> None:
        """Prefixes to be looked at. A dictionary, of whatever values, is the cheapest way to give them."""
        found = prefixes if isinstance(prefixes, dict | list) else list(prefixes)
        if len(found) >= LARGE:
            self._set_aside(found if isinstance(found, list) and found is not prefixes else list(found))
            return
        self._added.update(found if isinstance(found, dict) else dict.fromkeys(found))
        if len(self._added) >= LARGE:
            # A dictionary that grows on takes tens of milliseconds at a time to make room.
            self._set_aside(list(self._added))
            self._added = {}

    def _set_aside(self, large: list[Prefix]) -> None:
        self._large.append(large)
        self._waiting += len(large)
        if self._waiting > MOST:
            merged = list(dict.fromkeys(chain.from_iterable(self._large)))
            self._waiting += len(merged) - sum(map(len, self._large))
            self._large = [merged]

    def take(self, budget: int) -> list[Prefix]:
        """About `budget` of them, which wait no longer. Empty only if none are left."""
        if not self._left:
            self._begin(budget)
        if not self._left:
            return []
        portion = self._portion(self._portions - self._left)
        self._left -= 1
        self._waiting -= len(portion)
        if not self._left:
            self._current = []
            self._portions = 0
        return portion

    def _begin(self, budget: int) -> None:
        if not self:
            return
        if self._added:
            self._large.append(list(self._added))
        self._current, self._large, self._added = self._large, [], {}
        self._ends = list(accumulate(map(len, self._current)))
        self._waiting = self._ends[-1]
        self._run = min(RUN, budget)
        self._portions = self._left = -(-self._waiting // budget)

    def _portion(self, number: int) -> list[Prefix]:
        """A portion from a place that is far from the last one's."""
        place = _place(number, self._portions)
        if len(self._current) == 1:
            return spread(self._current[0], place, self._portions, self._run)
        starts = range(place * self._run, self._ends[-1], self._portions * self._run)
        return list(chain.from_iterable(map(self._run_at, starts)))

    def _run_at(self, start: int) -> list[Prefix]:
        """A run of the current lists, which count as one."""
        number = bisect_right(self._ends, start)
        offset = start - (self._ends[number - 1] if number else 0)
        found = self._current[number][offset : offset + self._run]
        while len(found) < self._run and number + 1 < len(self._current):
            number += 1
            found += self._current[number][: self._run - len(found)]
        return found


def _place(number: int, portions: int) -> int:
    """A permutation of the portions whose neighbours are far from each other."""
    step = max(1, round(portions * _GOLDEN))
    while gcd(step, portions) > 1:  # else some places would come twice
        step -= 1
    return number * step % portions


class Arrivals:
    """Prefixes that may have come to a table, or gone, since somebody who follows it last looked.

    While nobody follows it, and when more came than anybody would put in order one by one, nothing is kept.
    """

    __slots__ = ("_noted", "_size")
    MOST = 100_000

    def __init__(self) -> None:
        self._noted: list[Collection[Prefix]] | None = None
        self._size = 0

    def follow(self) -> None:
        """Keep what comes from now on."""
        self._noted = []
        self._size = 0

    def note(self, prefixes: Collection[Prefix]) -> None:
        """These came or went; the collection is kept as it is and must not change."""
        if self._noted is None:
            return
        self._noted.append(prefixes)
        self._size += len(prefixes)
        if self._size > self.MOST:
            self._noted = None

    def take(self) -> Sequence[Collection[Prefix]] | None:
        """What was noted since the last time; None if it is not known any more: `follow` again."""
        noted = self._noted
        if noted:
            self.follow()
        return noted
