"""The arithmetic of outages."""

from __future__ import annotations

import pytest

from bgpsvc.lab.pings import Outage, Series


def series(answers: str, interval: float = 1.0) -> Series:
    """`!` answered, `.` lost, one request per interval from time 0."""
    result = Series()
    for number, mark in enumerate(answers):
        when = number * interval
        result.add([(number, when)], [(number, when + 0.01)] if mark == "!" else [])
    return result


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("!!!!!!", Outage(6, 0, 0.0)),
        ("!!.!!!", Outage(6, 1, 2.0)),
        ("!..!.!", Outage(6, 3, 3.0)),
        ("!.!..!", Outage(6, 3, 3.0)),
        ("!!!...", Outage(6, 3, 4.0)),  # the gap runs to the end of the span
        ("...!!!", Outage(6, 3, 3.0)),  # and from its beginning
        ("......", Outage(6, 6, 6.0)),
        ("", Outage(0, 0, 0.0)),
    ],
)
def test_outage_is_the_longest_gap_between_answered_requests(answers: str, expected: Outage) -> None:
    assert series(answers).outage(0.0, 6.0) == expected


def test_only_requests_of_the_span_count() -> None:
    probes = series("..!!!!..")
    assert probes.outage(2.0, 6.0) == Outage(4, 0, 0.0)
    assert probes.outage(1.0, 6.0) == Outage(5, 1, 1.0)


def test_an_answer_that_comes_late_or_twice_counts_once() -> None:
    probes = series("!.!")
    probes.add([], [(1, 9.0)])
    probes.add([], [(1, 10.0), (0, 10.0)])
    assert probes.outage(0.0, 3.0).lost == 0
    assert probes.received == {0: 0.01, 1: 9.0, 2: 2.01}


@pytest.mark.parametrize(
    ("answers", "flows", "stopped"),
    [("!!!", True, False), ("!.!", False, False), ("...", False, True), ("", False, False)],
)
def test_flows_and_stopped_need_requests(answers: str, flows: bool, stopped: bool) -> None:
    probes = series(answers)
    assert probes.flows(0.0, 3.0) is flows
    assert probes.stopped(0.0, 3.0) is stopped
