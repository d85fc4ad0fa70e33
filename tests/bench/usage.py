"""What processes use, from /proc: memory (proc(5), smaps_rollup) and processor time (stat)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of several processes: bytes resident, bytes with shared pages split among their users, seconds."""

    processes: int
    resident: int
    proportional: int
    cpu_seconds: float

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def usage(pids: Iterable[int], proc: Path = Path("/proc")) -> Usage:
    """The sum over the processes; those that ended meanwhile count for nothing."""
    count, resident, proportional, ticks = 0, 0, 0, 0
    for pid in pids:
        try:
            rollup = (proc / str(pid) / "smaps_rollup").read_text()
            stat = (proc / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        count += 1
        resident += _kilobytes(rollup, "Rss") * 1024
        proportional += _kilobytes(rollup, "Pss") * 1024
        ticks += _ticks(stat)
    return Usage(count, resident, proportional, ticks / _TICKS)


def cpu_seconds(pids: Iterable[int], proc: Path = Path("/proc")) -> float:
    """Processor time alone, user and system, of all threads: cheaper to ask for than memory."""
    total = 0
    for pid in pids:
        try:
            total += _ticks((proc / str(pid) / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / _TICKS


def _kilobytes(rollup: str, name: str) -> int:
    # A process that has no memory left (it is ending) has an empty rollup.
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{name}:")), 0)


def _ticks(stat: str) -> int:
    # The second field is the name in parentheses, which may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
