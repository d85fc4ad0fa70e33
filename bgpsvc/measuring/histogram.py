"""How long things took, by class of duration. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts of observations up to each of `bounds` (seconds, rising), as Prometheus has them.

    An observation costs a search among a dozen numbers, and nothing is kept of it but the counts.
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0
        """Seconds in all."""

    def observe(self, seconds: float) -> None:
        """One that took so long."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Each bound as text with the number of observations up to it; the last is `+Inf`, all of them."""
        found, sum_ = [], 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            sum_ += count
            found.append((bound, float(sum_)))
        return found
