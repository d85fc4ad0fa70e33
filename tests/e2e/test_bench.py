"""The benchmarks run: no time is asserted, only that they measure to the end and print their table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.service import REPOSITORY


def test_the_benchmark_of_lists_prints_its_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.listing", "--resources", "50", "--limits", "3", "--repeat", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row[0]: row for line in done.stdout.splitlines() if (row := line.split())}
    assert rows["vpn-connections"][1:4] == ["3", "10", "4"]  # ten of them, three on a page


@pytest.mark.parametrize("module", ["load", "switchover"])
def test_a_small_benchmark_prints_its_table(module: str) -> None:
    options = ("--prefixes", "100", "--repeat", "1", "--only", "bgpsvc")
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    (row,) = [row for row in rows if row[:2] == ["100", "bgpsvc"]]
    assert float(row[2]) >= 0
    assert any(row[0] == "prefixes" for row in rows), "the table's heading"
