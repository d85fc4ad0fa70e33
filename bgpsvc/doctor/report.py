"""Findings about a machine. Frozen values; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "warning", "failed", "skipped"]
"""`failed`: something that the daemon needs is missing. `warning`: it runs, and something is lost or at risk.
`skipped`: it could not be looked at, and `summary` says why."""

AREAS = ("system", "kernel", "strongswan", "network", "time", "daemon")
"""In the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `check` names it for programs; `remedy` is empty where none is needed."""

    area: str
    check: str
    outcome: Outcome
    summary: str
    remedy: str = ""


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By area; within one as they were found."""
    return tuple(sorted(findings, key=lambda finding: AREAS.index(finding.area)))


def verdict(findings: Iterable[Finding]) -> Outcome:
    """`failed` if anything failed, else `warning` if there is any, else `ok`."""
    outcomes = {finding.outcome for finding in findings}
    return "failed" if "failed" in outcomes else "warning" if "warning" in outcomes else "ok"
