"""Prometheus metrics of the daemon itself: readiness, database, events, event loop, and its processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bgpsvc.measuring.histogram import Histogram
from bgpsvc.metrics import histogram
from bgpsvc.views import Severity

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses: resident memory in bytes, CPU seconds since its start (Unix seconds)."""

    memory: int
    cpu: float
    started: float

    @classmethod
    def of(cls, pid: int, boot: float) -> Usage | None:
        """From proc(5); `boot`: when the machine started (Unix seconds). None if there is no such process."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        # The command name is in parentheses and may contain any character; behind it begins field 3.
        fields = stat.rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        return cls(int(fields[21]) * _PAGE, cpu, boot + int(fields[19]) / _TICKS)


@cache
def boot_time() -> float:
    """When the machine started, in Unix seconds (btime of proc_stat(5)). OSError.

    Read once: it moves when the clock is set, and a start time that moves looks like a restart.
    """
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    return float(next(line for line in lines if line.startswith("btime ")).split()[1])


@dataclass(frozen=True, slots=True)
class DaemonFigures:
    """What the daemon knows of itself.

    `checks` are those of `/readyz`; `database_problem`, `unsettled`: why the database takes nothing and why
    a change is not in effect, None if all is well; `waiting`: events that are not stored yet; `events`: since
    the daemon started, by severity; `processes`: pids by name.
    """

    checks: Mapping[str, bool]
    database_problem: str | None
    unsettled: str | None
    waiting: int
    events: Mapping[Severity, int]
    lag: Histogram
    processes: Mapping[str, int]


class DaemonCollector(Collector):
    """Shows the figures, and looks up in /proc what processes use."""

    def __init__(self, figures: DaemonFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        figures = self._figures
        yield GaugeMetricFamily(
            "bgpsvc_ready", "1 if every readiness check passes", value=all(figures.checks.values())
        )
        check = GaugeMetricFamily("bgpsvc_ready_check", "1 if this check passes", labels=("check",))
        for name, ok in figures.checks.items():
            check.add_metric((name,), ok)
        yield check
        yield GaugeMetricFamily(
            "bgpsvc_configuration_settled",
            "1 unless a part of the last change could not be taken and is tried again",
            value=figures.unsettled is None,
        )
        yield GaugeMetricFamily(
            "bgpsvc_database_up", "1 if the database answers", value=figures.database_problem is None
        )
        yield GaugeMetricFamily(
            "bgpsvc_database_events_waiting", "Events that are not stored yet", value=figures.waiting
        )
        events = CounterMetricFamily("bgpsvc_events", "Entries of the event log", labels=("severity",))
        for severity, number in figures.events.items():
            events.add_metric((severity,), number)
        yield events
        yield histogram(
            "bgpsvc_event_loop_lag_seconds",
            "How much later than asked for the event loop came to a timer, looked at four times a second",
            figures.lag,
        )
        yield from self._processes()

    def _processes(self) -> Iterable[Metric]:
        memory = GaugeMetricFamily(
            "bgpsvc_process_resident_memory_bytes", "Resident memory", labels=("process",)
        )
        cpu = CounterMetricFamily(
            "bgpsvc_process_cpu_seconds", "User and system time since its start", labels=("process",)
        )
        started = GaugeMetricFamily(
            "bgpsvc_process_start_time_seconds", "When the process started", labels=("process",)
        )
        boot = boot_time()
        for name, pid in self._figures.processes.items():
            usage = Usage.of(pid, boot)
            if usage is not None:
                memory.add_metric((name,), usage.memory)
                cpu.add_metric((name,), usage.cpu)
                started.add_metric((name,), usage.started)
        yield from (memory, cpu, started)
