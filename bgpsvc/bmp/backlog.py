"""Prefixes that somebody has to look at, in order, with the times at which they changed.

What comes from the engine is kept as it came (tuples that several stations share), so that noting a change
costs nothing that grows with it. What a slow reader has not taken is bounded: small notes are merged when
there are many, and beyond `MOST` there is an overflow, after which only beginning anew helps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from bgpsvc.model import Prefix

MOST = 4_000_000
"""Prefixes that may wait; a reference to each takes 8 bytes."""
MERGED = 10_000
"""Notes that are merged, if they are small; each takes a hundred bytes of its own."""
SMALL = 16
UNKNOWN = 0.0
"""The time of a change that nobody knows (RFC 7854 4.2)."""


class Walk:
    """All keys of some dictionaries, a portion at a time, while the dictionaries change in between.

    Whoever changes them says so (`disturbed`): until then nothing is copied, which for a million keys that
    are scattered over the memory would take 100 ms at once. What comes in behind is the caller's business.
    """

    def __init__(self, tables: Sequence[Mapping[Prefix, Any]]) -> None:
        self._tables = tables
        self._rest: Iterator[Prefix] = chain.from_iterable(tables)
        self._copied = False

    def disturbed(self) -> None:
        """A dictionary changes, or has just changed: go on with a copy, from the beginning."""
        if not self._copied:
            self._copied = True
            self._rest = iter([*chain.from_iterable(self._tables)])

    def take(self, number: int) -> list[Prefix]:
        """The next ones; fewer than `number` only at the end."""
        try:
            return list(islice(self._rest, number))
        except RuntimeError:  # a dictionary changed although nobody said so
            self.disturbed()
            return list(islice(self._rest, number))


class Backlog:
    """What waits to be looked at: first a walk over everything, if one was begun, then what changed since."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, tuple[Prefix, ...]]] = deque()
        self._small = 0
        """Small notes since they were last merged."""
        self._walk: Walk | None = None
        self.size = 0
        """Prefixes in notes."""

    def __bool__(self) -> bool:
        return self._walk is not None or bool(self._notes)

    @property
    def overflown(self) -> bool:
        """More wait than may."""
        return self.size > MOST

    def begin(self, walk: Walk) -> None:
        """Look at everything: what was noted before is in it, or gone."""
        self.clear()
        self._walk = walk

    def clear(self) -> None:
        """Forget everything."""
        self._notes.clear()
        self._walk = None
        self.size = self._small = 0

    def note(self, prefixes: tuple[Prefix, ...], at: float) -> None:
        """These changed."""
        if self._walk is not None:
            self._walk.disturbed()
        self._notes.append((at, prefixes))
        self.size += len(prefixes)
        self._small += len(prefixes) <= SMALL
        if self._small >= MERGED:
            self._merge()

    def _merge(self) -> None:
        """Small notes become one: whoever flaps is told of once."""
        small: dict[Prefix, None] = {}
        kept: deque[tuple[float, tuple[Prefix, ...]]] = deque()
        latest = UNKNOWN
        for at, prefixes in self._notes:
            if len(prefixes) <= SMALL:
                small.update(dict.fromkeys(prefixes))
                latest = max(latest, at)
            else:
                kept.append((at, prefixes))
        kept.append((latest, tuple(small)))
        self._notes = kept
        self._small = 0
        self.size = sum(len(prefixes) for _, prefixes in kept)

    def take(self, number: int) -> Iterator[tuple[float, Sequence[Prefix]]]:
        """About `number` of them, each once, by the time of their last change."""
        if self._walk is not None:
            portion = self._walk.take(number)
            if len(portion) < number:
                self._walk = None
            if portion:
                yield UNKNOWN, portion
            return
        latest: dict[Prefix, float] = {}
        while self._notes and len(latest) < number:
            at, prefixes = self._notes.popleft()
            if len(prefixes) > number:
                # All portions at once: to copy what is left each time would take seconds of a million.
                starts = range(0, len(prefixes), number)
                self._notes.extendleft((at, prefixes[n : n + number]) for n in reversed(starts))
                _, prefixes = self._notes.popleft()
            self.size -= len(prefixes)
            latest.update(dict.fromkeys(prefixes, at))
        times: dict[float, list[Prefix]] = {}
        for prefix, at in latest.items():
            times.setdefault(at, []).append(prefix)
        yield from times.items()
