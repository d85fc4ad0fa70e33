"""The figures of a run: kept while it goes on, as JSON, and as a table in the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.plan import KERNEL, Cell
from tests.bench.statistic import Sample, medians

MEGABYTE = 1e6


@dataclass
class Results:
    """Samples by cell and daemon, and why some were not made; `path`: kept there too, a line for each."""

    path: Path | None = None
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            for line in self.path.read_text().splitlines():
                kept = json.loads(line)
                self._take(kept["cell"], kept["name"], kept["sample"], kept["failure"])

    def add(self, cell: Cell, name: str, sample: Sample | None, failure: str | None) -> None:
        """Takes one measurement: a sample, or why there is none."""
        self._take(cell.key, name, sample, failure)
        if self.path is not None:
            line = {"cell": cell.key, "name": name, "sample": sample, "failure": failure}
            with self.path.open("a") as out:
                out.write(json.dumps(line) + "\n")

    def _take(self, key: str, name: str, sample: Sample | None, failure: str | None) -> None:
        if sample is not None:
            self.samples.setdefault((key, name), []).append(sample)
        else:
            self.failures.setdefault((key, name), []).append(failure or "no reason")

    def made(self, cell: Cell, name: str) -> int:
        """How many measurements there are."""
        return len(self.samples.get((cell.key, name), []))

    def median(self, cell: Cell, name: str) -> Sample:
        """The medians of a cell's samples; empty if there are none."""
        return medians(self.samples.get((cell.key, name), []))

    def document(self, cells: Iterable[Cell], machine: dict[str, Any]) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "machine": machine,
            "cells": [
                {
                    "section": cell.section,
                    "case": cell.case,
                    "options": cell.options,
                    "results": {
                        name: {
                            "median": self.median(cell, name),
                            "samples": self.samples.get((cell.key, name), []),
                            "failures": self.failures.get((cell.key, name), []),
                        }
                        for name in cell.names
                    },
                }
                for cell in cells
            ],
        }


def table(cells: Sequence[Cell], results: Results) -> str:
    """All sections side by side, medians."""
    lines: list[str] = []
    for section in dict.fromkeys(cell.section for cell in cells):
        heading, columns = _COLUMNS[section]
        lines += ["", heading]
        lines.append(f"{'':34}{'':10}" + "".join(f"{column:>14}" for column in columns))
        for cell in cells:
            if cell.section == section:
                lines += _rows(cell, results)
    return "\n".join(lines[1:])


def _rows(cell: Cell, results: Results) -> list[str]:
    if cell.section == "latency":
        return _latency_rows(cell, results.median(cell, "bgpsvc"))
    found = {name: results.median(cell, name) for name in cell.names}
    rows = []
    for name in cell.names:
        if not found[name]:
            failed = results.failures.get((cell.key, name), ["not measured"])
            rows.append(f"{cell.case:34}{name:10}  {failed[-1].splitlines()[0][:100]}")
            continue
        figures = _FIGURES[cell.section](cell, name, found)
        rows.append(f"{cell.case:34}{name:10}" + "".join(f"{figure:>14}" for figure in figures))
    return rows


def ratio(of: Sample | None, to: Sample | None, figure: str) -> str:
    """One figure by another's, `-` if one of them is missing."""
    if not of or not to or not to.get(figure):
        return "-"
    return f"{of[figure] / to[figure]:.2f}"


def _load(cell: Cell, name: str, found: dict[str, Sample]) -> list[str]:
    mine = found[name]
    megabytes = f"{mine['resident'] / MEGABYTE:,.0f}" if "resident" in mine else "-"
    others = [ratio(mine, found.get(other), "seconds") for other in ("bird", "frr", KERNEL)]
    return [f"{mine['seconds']:.3f}", *others, f"{cell.options['count'] / mine['seconds']:,.0f}", megabytes]


def _memory(_cell: Cell, name: str, found: dict[str, Sample]) -> list[str]:
    mine = found[name]
    return [
        f"{mine['resident'] / MEGABYTE:,.0f}",
        f"{mine['proportional'] / MEGABYTE:,.0f}",
        f"{mine['resident_before'] / MEGABYTE:,.0f}",
        f"{mine['bytes_per_prefix']:,.0f}",
        ratio(mine, found.get("frr"), "resident"),
    ]


def _switchover(_cell: Cell, name: str, found: dict[str, Sample]) -> list[str]:
    mine = found[name]
    figures = [f"{mine[figure] * 1000:,.1f}" for figure in ("longest", "median", "shortest")]
    return [*figures, f"{mine['detection'] * 1000:,.1f}" if "detection" in mine else "-"]


def _sessions(_cell: Cell, name: str, found: dict[str, Sample]) -> list[str]:
    mine = found[name]
    return [
        f"{mine['established_seconds']:.1f}",
        f"{mine['installed_seconds']:.1f}",
        f"{mine['established_cpu_seconds']:.1f}",
        f"{mine['idle_cpu']:.1%}",
        f"{mine['resident'] / MEGABYTE:,.0f}",
    ]


def _latency_rows(cell: Cell, found: Sample) -> list[str]:
    return [
        f"{cell.case:34}{request:10}"
        + "".join(
            f"{found[f'{when}_{request}_{word}'] * 1000:>14,.1f}"
            for when in ("loading", "idle")
            for word in ("p50", "p99", "max")
        )
        for request in ("sessions", "route", "switch")
        if f"loading_{request}_p50" in found
    ]


_FIGURES = {"load": _load, "memory": _memory, "switchover": _switchover, "sessions": _sessions}
_COLUMNS = {
    "load": (
        "Load: session start to all prefixes in the kernel",
        ("seconds", "x BIRD", "x FRR", "x kernel", "prefixes/s", "resident MB"),
    ),
    "memory": (
        "Memory of all processes",
        ("resident MB", "PSS MB", "before MB", "bytes/prefix", "x FRR"),
    ),
    "switchover": (
        "Switchover: outage of 64 sampled prefixes in ms",
        ("longest", "median", "shortest", "detection"),
    ),
    "latency": (
        "REST of bgpsvc in ms, loading and idle",
        ("p50", "p99", "max", "idle p50", "idle p99", "idle max"),
    ),
    "sessions": (
        "Sessions on one node",
        ("established s", "installed s", "CPU s", "idle CPU", "resident MB"),
    ),
}
