"""The result of a walk, for people and for machines. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

Outcome = Literal["held", "failed", "not run"]


@dataclass(slots=True)
class StepResult:
    """One step. `figures` are measured, their names end in the unit. `seconds`: what the step took."""

    name: str
    title: str
    outcome: Outcome = "not run"
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    expected: str | None = None
    seen: str | None = None


@dataclass(slots=True)
class Report:
    """A walk. `logs` has the last lines of the daemons' logs if a step failed."""

    peer: str
    tunnels: str
    hold_time: int
    prefixes: int
    rootless: bool
    steps: list[StepResult]
    logs: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Every step held."""
        return all(step.outcome == "held" for step in self.steps)

    def to_json(self) -> str:
        """The whole report as one JSON object, with `ok` first."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    def to_table(self) -> str:
        """Steps, times and figures as an aligned table."""
        rows = [("STEP", "RESULT", "TIME", "MEASURED")]
        rows += [(s.title, s.outcome, _seconds(s), describe(s.figures)) for s in self.steps]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]])
            for row in rows
        ]
        return "\n".join(line.rstrip() for line in lines)


def describe(figures: dict[str, float]) -> str:
    """`lost_packets: 412, outage_seconds: 2.061` as `lost packets 412, outage 2.061 s`."""
    return ", ".join(_figure(name, value) for name, value in figures.items())


def _figure(name: str, value: float) -> str:
    words = name.removesuffix("_seconds").replace("_", " ")
    if name.endswith("_seconds"):
        return f"{words} {value:.3f} s"
    return f"{words} {value:g}" if value < 1e6 else f"{words} {value:.0f}"


def _seconds(step: StepResult) -> str:
    return "" if step.outcome == "not run" else f"{step.seconds:.1f} s"
