"""Prefixes in address order, kept in order piece by piece. Pure.

To sort a million prefixes takes a second that nobody may be kept waiting for. So they are dealt out into
blocks of about two thousand between splitters of a sample, and each block is sorted by itself; what comes and
goes later is put into its block (`bulk.Arrivals`). Whatever takes long is a generator, to be driven in turns
with other work, between whose steps the table may change.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any

from bgpsvc.bulk import Arrivals
from bgpsvc.model import Family, Prefix

BLOCK = 2048
"""Prefixes of a block, about."""
PORTION = 4096
"""Prefixes that one step looks at."""
PLACED_AT_ONCE = 500
SAMPLED = 16
"""Prefixes of the sample for each block."""
FIRST = Prefix(b"")
"""Before every prefix."""
LAST = {Family.IPV4: Prefix(b"\xff" * 5), Family.IPV6: Prefix(b"\xff" * 17)}
"""Behind every prefix of a family."""
SIZE = {Family.IPV4: 5, Family.IPV6: 17}

Work = Generator[None, None, None]


def portions(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The items in order, `PORTION` at a time."""
    return (items[start : start + PORTION] for start in range(0, len(items), PORTION))


class Blocks:
    """The sorted prefixes of a family."""

    def __init__(self, blocks: Sequence[list[Prefix]] = ()) -> None:
        self._blocks = [block for block in blocks if block] or [[]]
        # The first block takes whatever comes before its first prefix too.
        self._firsts = [FIRST, *(block[0] for block in self._blocks[1:])]
        self._count = sum(map(len, self._blocks))

    def __len__(self) -> int:
        return self._count

    def put(self, prefix: Prefix, present: bool) -> None:
        """Have the prefix in, or not."""
        number = bisect_right(self._firsts, prefix) - 1
        block = self._blocks[number]
        place = bisect_left(block, prefix)
        if (place < len(block) and block[place] == prefix) is present:
            return
        if not present:
            del block[place]
            self._count -= 1
            return
        block.insert(place, prefix)
        self._count += 1
        if len(block) >= 2 * BLOCK:
            self._blocks[number : number + 1] = [block[:BLOCK], block[BLOCK:]]
            self._firsts.insert(number + 1, block[BLOCK])

    def after(self, low: Prefix, high: Prefix, most: int = 2 * BLOCK) -> list[Prefix]:
        """The next ones behind `low` up to `high`, some of them; none if there are none."""
        for number in range(bisect_right(self._firsts, low) - 1, len(self._blocks)):
            block = self._blocks[number]
            begin = bisect_right(block, low)
            found = block[begin : min(begin + most, bisect_right(block, high))]
            if found or self._firsts[number] > high:
                return found
        return []

    def count(self, low: Prefix, high: Prefix) -> int:
        """How many there are behind `low` up to `high`."""
        return self._rank(high) - self._rank(low)

    def _rank(self, prefix: Prefix) -> int:
        number = bisect_right(self._firsts, prefix) - 1
        before = sum(map(len, islice(self._blocks, number)))
        return before + bisect_right(self._blocks[number], prefix)


class RouteOrder:
    """The keys of a mapping in address order, by family, once `build` has been worked off.

    `members` gives the mapping as it is now, `arrivals` notes what comes to it. What leaves it unnoted stays
    in order, so whoever reads looks whether it is there. `clock` is the caller's, in seconds: a table that
    changes too much to be followed is put in order again after `REST` times what that took the last time.
    """

    REST = 10.0

    def __init__(
        self,
        members: Callable[[], Mapping[Prefix, Any]],
        arrivals: Callable[[], Arrivals],
        clock: Callable[[], float],
    ) -> None:
        self._members = members
        self._arrivals = arrivals
        self._clock = clock
        self._followed: Arrivals | None = None
        self._blocks: dict[Family, Blocks] | None = None
        self._pending: list[Prefix] = []
        self._building = False
        self._not_before: float | None = None

    @property
    def due(self) -> bool:
        """It is time to `build`."""
        if self._blocks is not None or self._building:
            return False
        return self._not_before is None or self._clock() >= self._not_before

    def blocks(self) -> Generator[None, None, Mapping[Family, Blocks] | None]:
        """What is in order, with all that came until now; None if it is not known.

        The table must not change between the end of this generator and the use of its outcome.
        """
        for _ in range(1 + Arrivals.MOST // PLACED_AT_ONCE):
            if self._blocks is None or not self._notice():
                return None
            if not self._pending:
                return self._blocks
            self._place(self._blocks)
            yield
        return None  # it changes faster than this

    def build(self) -> Work:
        """Put the table in order, from scratch."""
        began = self._clock()
        self._building = True
        try:
            yield from self._build()
        finally:
            self._building = False
            ended = self._clock()
            self._not_before = ended + self.REST * (ended - began)

    def _build(self) -> Work:
        self._followed = self._arrivals()
        self._followed.follow()
        self._pending = []
        keys = list(self._members())
        yield
        blocks: dict[Family, Blocks] = {}
        for family in Family:
            blocks[family] = Blocks((yield from in_order(keys, family)))
        self._blocks = blocks
        self._notice()

    def _notice(self) -> bool:
        """Take what came; False if it came too fast, or the table is another one now: all is void then."""
        arrivals = self._arrivals()
        noted = arrivals.take() if arrivals is self._followed else None
        if noted is None:
            self._blocks = None
            self._pending = []
            return False
        self._pending.extend(chain.from_iterable(noted))
        return True

    def _place(self, blocks: Mapping[Family, Blocks]) -> None:
        members = self._members()
        for prefix in self._pending[-PLACED_AT_ONCE:]:
            blocks[Family.IPV4 if len(prefix) == 5 else Family.IPV6].put(prefix, prefix in members)
        del self._pending[-PLACED_AT_ONCE:]


def in_order(keys: Sequence[Prefix], family: Family) -> Generator[None, None, list[list[Prefix]]]:
    """Those of a family in address order, in blocks that follow each other."""
    dealt: list[list[Prefix]] = []
    yield from _deal(keys, SIZE[family], dealt)
    for block in dealt:
        block.sort()
        yield
    return dealt


def _deal(keys: Sequence[Prefix], size: int, dealt: list[list[Prefix]]) -> Work:
    """Deal those of a size out into unsorted lists, each wholly before the next."""
    sample: list[Prefix] = []
    step = max(1, BLOCK // SAMPLED)
    # Not every n-th: a table that was filled in turns could have the same ones at each of these places.
    for number, portion in enumerate(portions(keys)):
        sample += [key for key in portion[number * 37 % step :: step] if len(key) == size]
        yield
    sample.sort()
    splitters = sample[SAMPLED::SAMPLED]
    dealt.extend([] for _ in range(len(splitters) + 1))
    for portion in portions(keys):
        mine = [key for key in portion if len(key) == size]
        for key, number in zip(mine, map(bisect_right, repeat(splitters), mine), strict=True):
            dealt[number].append(key)
        yield
