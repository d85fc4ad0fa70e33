"""The benchmarks run: no time is asserted, only that they measure to the end and print their table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.service import REPOSITORY


def table(module: str, *options: str) -> list[list[str]]:
    """What a benchmark prints, line by line in words."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", "--repeat", "1", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [words for line in done.stdout.splitlines() if (words := line.split())]


def test_the_benchmark_of_lists_prints_its_table() -> None:
    rows = {row[0]: row for row in table("listing", "--resources", "50", "--limits", "3")}
    assert rows["vpn-connections"][1:4] == ["3", "10", "4"]  # ten of them, three on a page


@pytest.mark.parametrize("module", ["load", "switchover"])
def test_a_small_benchmark_prints_its_table(module: str) -> None:
    rows = table(module, "--prefixes", "100", "--only", "bgpsvc")
    (row,) = [row for row in rows if row[:2] == ["100", "bgpsvc"]]
    assert float(row[2]) >= 0
    assert any(row[0] == "prefixes" for row in rows), "the table's heading"


def test_the_benchmark_of_tunnels_prints_its_table() -> None:
    rows = {row[0]: row for row in table("tunnel", "--seconds", "0.2", "--only", "plain,userspace")}
    for name in ("plain", "userspace"):
        assert len(rows[name]) == 7
        assert all(float(number.replace(",", "")) > 0 for number in rows[name][1:])
