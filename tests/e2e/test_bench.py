"""The benchmarks run: no time is asserted, only that they measure to the end and print what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.service import REPOSITORY


def run(*words: str) -> str:
    """What a benchmark prints."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(module: str, *options: str) -> list[list[str]]:
    """What a benchmark prints, line by line in words."""
    printed = run(f"tests.bench.{module}", "--repeat", "1", *options)
    return [words for line in printed.splitlines() if (words := line.split())]


def test_the_benchmark_of_lists_prints_its_table() -> None:
    rows = {row[0]: row for row in table("listing", "--resources", "50", "--limits", "3")}
    assert rows["vpn-connections"][1:4] == ["3", "10", "4"]  # ten of them, three on a page


@pytest.mark.parametrize(
    ("section", "name", "options", "figures"),
    [
        ("load", "kernel", {"count": 20_000, "per_update": 270, "family": "ipv6"}, {"seconds"}),
        ("load", "bgpsvc", {"count": 200, "per_update": 5, "family": "ipv6"}, {"seconds", "resident"}),
        ("memory", "bird", {"count": 200}, {"resident", "resident_before"}),
        ("switchover", "bird", {"count": 100, "way": "closed"}, {"longest", "median"}),
        ("switchover", "bgpsvc", {"count": 100, "way": "silent"}, {"longest", "detection"}),
        ("sessions", "bgpsvc", {"count": 4, "idle": 0.2}, {"established_seconds", "resident"}),
        ("latency", "bgpsvc", {"count": 200, "idle": 0.3}, {"loading_switch_p99", "idle_route_max"}),
    ],
)
def test_a_small_measurement_tells_its_figures(
    section: str, name: str, options: dict[str, Any], figures: set[str]
) -> None:
    sample = json.loads(run("tests.bench.one", section, name, json.dumps(options)))
    assert all(sample[figure] > 0 for figure in figures)


def test_the_benchmark_of_tunnels_prints_its_table() -> None:
    rows = {row[0]: row for row in table("tunnel", "--seconds", "0.2", "--only", "plain,userspace")}
    for name in ("plain", "userspace"):
        assert len(rows[name]) == 7
        assert all(float(number.replace(",", "")) > 0 for number in rows[name][1:])
