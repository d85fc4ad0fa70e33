"""What a run measures, what the command line takes, and what is kept of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as program
from tests.bench.plan import DAEMONS, SECTIONS, Cell, parse_count, plan
from tests.bench.results import Results, table

KERNEL_AND_BIRD = Cell("load", "2 IPv4, 270 per UPDATE", ("kernel", "bird"), {"count": 2}, 1)
SAMPLES: dict[str, dict[str, float]] = {
    "load": {"seconds": 2.0, "resident": 5e6},
    "memory": {"resident": 5e6, "proportional": 4e6, "resident_before": 3e6, "bytes_per_prefix": 7},
    "switchover": {"longest": 0.2, "median": 0.1, "shortest": 0.05, "detection": 0.04},
    "latency": {
        f"{when}_{request}_{word}": 0.012
        for when in ("loading", "idle")
        for request in ("sessions", "route", "switch")
        for word in ("p50", "p99", "max")
    },
    "sessions": {
        "established_seconds": 3.0,
        "installed_seconds": 4.0,
        "established_cpu_seconds": 5.0,
        "idle_cpu": 0.25,
        "resident": 6e6,
    },
}


def test_both_plans_have_every_section_and_no_cell_twice() -> None:
    for full in (False, True):
        cells = plan(full)
        assert {cell.section for cell in cells} == set(SECTIONS)
        assert len({cell.key for cell in cells}) == len(cells)


def test_full_plan_covers_what_is_asked_for() -> None:
    loads = [cell.options for cell in plan(True, ["load"])]
    assert {(each["count"], each["per_update"], each["family"]) for each in loads} == {
        (count, per_update, family)
        for count in (1_000, 10_000, 100_000, 1_000_000)
        for per_update in (270, 5)
        for family in ("ipv4", "ipv6")
    }
    moves = [cell.options for cell in plan(True, ["switchover"])]
    assert {(each["count"], each["way"]) for each in moves} == {
        (count, way) for count in (1_000, 100_000, 1_000_000) for way in ("silent", "closed", "link")
    }


def test_a_plan_for_some_daemons_leaves_out_what_they_have_no_part_in() -> None:
    cells = plan(False, names=["kernel"])
    assert {cell.section for cell in cells} == {"load"}
    assert {cell.names for cell in cells} == {("kernel",)}


@pytest.mark.parametrize(("text", "count"), [("7", 7), ("10k", 10_000), ("1m", 1_000_000), ("1M", 1_000_000)])
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["0", "2m", "k", "1.5k", "-1"])
def test_counts_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 1m"):
        parse_count(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sections", "lod"], "--sections: lod is not one of load, memory"),
        (["--only", "bird,quagga"], "--only: quagga is not one of kernel, bird"),
        (["--prefixes", "2m"], "--prefixes: 2m"),
        (["--repeat", "0"], "--repeat: at least 1"),
    ],
)
def test_command_lines_that_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        program.parse_arguments(words)
    assert said in capsys.readouterr().err


def test_rounds_are_three_in_full_and_one_otherwise() -> None:
    assert [program.parse_arguments(words).repeat for words in ([], ["--full"])] == [1, 3]


def test_daemons_take_turns_and_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measure(_cell: Cell, name: str) -> tuple[dict[str, float] | None, str | None]:
        asked.append(name)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return {"seconds": float(len(asked))}, None

    monkeypatch.setattr(program, "measure", measure)
    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        program.run([KERNEL_AND_BIRD], 2, Results(state))
    assert asked == ["kernel", "bird", "kernel", "bird"]
    results = Results(state)
    program.run([KERNEL_AND_BIRD], 2, results)
    assert asked[4:] == ["bird"], "what was measured is not measured again"
    assert results.median(KERNEL_AND_BIRD, "kernel") == {"seconds": 2.0}
    assert results.median(KERNEL_AND_BIRD, "bird") == {"seconds": 3.5}


def test_document_holds_samples_medians_and_failures() -> None:
    results = Results()
    results.add(KERNEL_AND_BIRD, "kernel", {"seconds": 1.0}, None)
    results.add(KERNEL_AND_BIRD, "kernel", {"seconds": 3.0}, None)
    results.add(KERNEL_AND_BIRD, "bird", None, "it broke")
    made: dict[str, Any] = json.loads(json.dumps(results.document([KERNEL_AND_BIRD], {"processors": 2})))
    (cell,) = made["cells"]
    assert made["machine"] == {"processors": 2}
    assert cell["results"]["kernel"]["median"] == {"seconds": 2.0}
    assert len(cell["results"]["kernel"]["samples"]) == 2
    assert cell["results"]["bird"] == {"median": {}, "samples": [], "failures": ["it broke"]}


def test_table_has_a_row_for_each_daemon_and_says_what_failed() -> None:
    results = Results()
    cells = plan(False)
    for cell in cells:
        for name in cell.names:
            if (cell.section, name) == ("memory", "frr"):
                results.add(cell, name, None, "no answer\nand more")
            else:
                results.add(cell, name, SAMPLES[cell.section], None)
    text = table(cells, results)
    for cell in cells:
        rows = [line for line in text.splitlines() if line.startswith(cell.case)]
        assert rows
    assert "no answer" in text
    assert "and more" not in text
    (row,) = [line.split() for line in text.splitlines() if line.startswith("100 sessions") and "frr" in line]
    assert row == ["100", "sessions", "frr", "3.0", "4.0", "5.0", "25.0%", "6"]
    first = next(line.split() for line in text.splitlines() if " bird " in line)
    assert first[-6:] == ["2.000", "1.00", "1.00", "1.00", "500", "5"]


def test_daemons_are_measured_alike() -> None:
    assert all(set(DAEMONS) <= set(cell.names) for cell in plan(True) if cell.section != "latency")
