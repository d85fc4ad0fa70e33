"""From counters that only rise to rates. Pure; time is an argument."""

from __future__ import annotations

from typing import NamedTuple


class Counters(NamedTuple):
    """Of an interface since it was made, of what came out of a tunnel (in) and what went into it (out)."""

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int


class Rates(NamedTuple):
    """The same for each second."""

    bytes_in: float
    bytes_out: float
    packets_in: float
    packets_out: float


class Meter:
    """Rates between one reading of an interface's counters and the next.

    Counters begin anew with every interface (`index` tells them apart), and some drivers set theirs back:
    how much passed between is not known then, so there is no rate, and never a negative or a giant one.
    """

    __slots__ = ("_at", "_counters", "_index")

    def __init__(self) -> None:
        self._at = 0.0
        self._index: int | None = None
        self._counters: Counters | None = None

    def read(self, at: float, index: int | None, counters: Counters | None) -> Rates | None:
        """Rates since the reading before; None if that is not known. `index` None: no interface."""
        before, since, same = self._counters, at - self._at, index == self._index
        self._at, self._index, self._counters = at, index, counters
        if counters is None or before is None or not same or since <= 0:
            return None
        if any(now < then for now, then in zip(counters, before, strict=True)):
            return None
        return Rates(*((now - then) / since for now, then in zip(counters, before, strict=True)))
