"""Which measurements a run of the benchmarks makes: quick in two or three minutes, full in an hour or two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DAEMONS = ("bird", "frr", "bgpsvc")
KERNEL = "kernel"
SECTIONS = ("load", "memory", "switchover", "latency", "sessions")
WAYS = ("silent", "closed", "link")
PACKED, SCATTERED = 270, 5


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure of several daemons.

    `options` are those of `tests.bench.one`, `seconds` is the deadline of one measurement.
    """

    section: str
    case: str
    names: tuple[str, ...]
    options: dict[str, Any]
    seconds: float

    @property
    def key(self) -> str:
        """The same for the same measurement, in whatever run."""
        return f"{self.section} {json.dumps(self.options, sort_keys=True)}"


def parse_count(text: str) -> int:
    """`1000`, `100k` or `1m`, at most a million; ValueError says what is allowed."""
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    try:
        count = int(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        count = 0
    if not 1 <= count <= 1_000_000:
        raise ValueError(f"{text}: a number of prefixes from 1 to 1m, as 1000, 100k or 1m")
    return count


def plan(
    full: bool,
    sections: Sequence[str] = SECTIONS,
    names: Sequence[str] = (KERNEL, *DAEMONS),
    counts: Sequence[int] = (),
) -> list[Cell]:
    """The cells in the order in which they are measured; `counts` replaces the numbers of prefixes."""
    made: list[Cell] = []
    for section in sections:
        made += _OF[section](full, tuple(counts))
    kept = [
        Cell(
            cell.section,
            cell.case,
            tuple(name for name in cell.names if name in names),
            cell.options,
            cell.seconds,
        )
        for cell in made
    ]
    return [cell for cell in kept if cell.names]


def _seconds(count: int) -> float:
    """How long one measurement may take: twenty times what the slowest needs where nobody else works."""
    return 180 + count / 1000


def _load(full: bool, counts: tuple[int, ...]) -> list[Cell]:
    kinds = [("ipv4", PACKED), ("ipv4", SCATTERED), ("ipv6", PACKED), ("ipv6", SCATTERED)]
    sizes = counts or ((1_000, 10_000, 100_000, 1_000_000) if full else (1_000, 100_000))
    return [
        Cell(
            "load",
            f"{count:,} IPv{family[-1]}, {per_update} per UPDATE",
            (KERNEL, *DAEMONS),
            {"count": count, "per_update": per_update, "family": family},
            _seconds(count),
        )
        for family, per_update in (kinds if full else kinds[:1])
        for count in sizes
    ]


def _memory(full: bool, counts: tuple[int, ...]) -> list[Cell]:
    return [
        Cell("memory", f"{count:,} prefixes x 2 sessions", DAEMONS, {"count": count}, _seconds(count))
        for count in counts or ((100_000, 1_000_000) if full else (100_000,))
    ]


def _switchover(full: bool, counts: tuple[int, ...]) -> list[Cell]:
    return [
        Cell(
            "switchover", f"{count:,} prefixes, {way}", DAEMONS, {"count": count, "way": way}, _seconds(count)
        )
        for count in counts or ((1_000, 100_000, 1_000_000) if full else (10_000,))
        for way in WAYS
    ]


def _latency(full: bool, counts: tuple[int, ...]) -> list[Cell]:
    idle = 20.0 if full else 3.0
    return [
        Cell(
            "latency",
            f"{count:,} prefixes x 2 sessions",
            ("bgpsvc",),
            {"count": count, "idle": idle},
            _seconds(count),
        )
        for count in counts or ((1_000_000,) if full else (100_000,))
    ]


def _sessions(full: bool, _counts: tuple[int, ...]) -> list[Cell]:
    count, idle = (1_000, 60.0) if full else (100, 5.0)
    return [Cell("sessions", f"{count:,} sessions", DAEMONS, {"count": count, "idle": idle}, 900)]


_OF = {
    "load": _load,
    "memory": _memory,
    "switchover": _switchover,
    "latency": _latency,
    "sessions": _sessions,
}
