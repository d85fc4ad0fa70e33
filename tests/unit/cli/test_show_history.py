"""What a tunnel carried lately, on a terminal and for programs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bgpsvc.cli.show_history import bars, merged
from bgpsvc.measuring.rates import Counters
from bgpsvc.measuring.recorder import Reading
from bgpsvc.model import SessionId
from bgpsvc.views import PrefixCounts
from tests.fakes.server import RunningApi
from tests.fakes.service import ACTIVE, FakeService
from tests.unit.cli.conftest import Run


def measure(service: FakeService) -> None:
    """Half of the last minute at 1 Mbit/s, of which the tunnel carried the second half."""
    for step in range(7):
        at = service.now - 30 + 5 * step
        total = step * 625_000
        counts = PrefixCounts(received=4, accepted=3, rejected=1, advertised=1)
        counters = Counters(total, 2 * total, step, step)
        reading = Reading(SessionId(ACTIVE), 7, counters, max(0.0, 5.0 * (step - 3)), True, counts)
        service.recorder.take(at, reading)
        service.recorder.finish(at, {SessionId(ACTIVE)})


@pytest.fixture
def measured(running: RunningApi) -> RunningApi:
    running.call(measure)
    return running


def test_the_chart_of_a_quarter_of_an_hour(bgpsvc: Run, measured: RunningApi) -> None:
    lines = bgpsvc("show", "history", ACTIVE, "--window", "15m").out.splitlines()
    assert lines[0] == f"{ACTIVE}, the last 15m; a character is 15 s"
    assert lines[2] == f"in       {'·' * 58}██ 1.0 Mbit/s, at most 1.0 Mbit/s"
    assert lines[3] == f"out      {'·' * 58}██ 2.0 Mbit/s, at most 2.0 Mbit/s"
    assert lines[4] == f"in use   {'·' * 58} █ yes"
    assert lines[5] == f"session  {'·' * 58}██ yes"
    assert lines[6] == "prefixes 4 received, 3 accepted, 1 advertised"
    assert [len(text) for text in lines[7].split()] == [5, 5, 5]
    assert len(lines[7]) == 9 + 60 + 5, "the last time is at the end"
    assert all(len(line) <= 110 for line in lines)


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_longer_windows_are_as_wide(bgpsvc: Run, measured: RunningApi, window: str) -> None:
    lines = bgpsvc("show", "history", ACTIVE, "--window", window).out.splitlines()
    assert len({line.index(" ", 9 + 59) for line in lines[2:4]}) == 1
    assert "1.0 Mbit/s" in lines[2]


def test_figures_for_programs(bgpsvc: Run, measured: RunningApi) -> None:
    found = json.loads(bgpsvc("show", "history", ACTIVE, "--window", "15m", "-o", "json").out)
    assert (found["window"], found["bytes_in"][-1]) == ("15m", 125_000)
    rows = list(
        csv.DictReader(io.StringIO(bgpsvc("show", "history", ACTIVE, "--window", "15m", "-o", "csv").out))
    )
    assert len(rows) == 180
    assert (rows[0]["bytes_in"], rows[-1]["bytes_in"], rows[-1]["prefixes_accepted"]) == ("", "125000.0", "3")
    assert rows[-1]["time"] == "2025-10-09T09:53:15Z"


def test_nothing_known_and_nothing_there(bgpsvc: Run, running: RunningApi) -> None:
    lines = bgpsvc("show", "history", ACTIVE).out.splitlines()
    assert lines[2] == f"in       {'·' * 60} -, at most -"
    assert "unknown" in lines[4]
    assert bgpsvc("show", "history", "nowhere").status == 1


def test_characters_stand_for_averages() -> None:
    assert merged([1.0, 3.0, None, None, None, 5.0], 2) == [2.0, None, 5.0]
    assert bars([0.0, 0.1, 4.0, 7.9, 8.0, None], 8.0) == " ▁▅██·"
    assert bars([0.0, 0.0], 0.0) == "  "
