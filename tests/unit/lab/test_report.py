"""What a walk prints."""

from __future__ import annotations

import json

from bgpsvc.lab.report import Report, StepResult, describe


def report(*steps: StepResult) -> Report:
    return Report(peer="bird", tunnels="vxlan", hold_time=3, prefixes=0, rootless=True, steps=list(steps))


def test_a_report_is_ok_only_if_every_step_held() -> None:
    held, failed = StepResult("a", "A", "held"), StepResult("b", "B", "failed")
    assert report(held, held).ok
    assert not report(held, failed).ok
    assert not report(held, StepResult("c", "C")).ok


def test_json_has_everything() -> None:
    step = StepResult("switchover", "S", "failed", 1.5, {"lost_packets": 3}, "this", "that")
    found = json.loads(report(step).to_json())
    assert found["ok"] is False
    assert (found["peer"], found["rootless"], found["hold_time"]) == ("bird", True, 3)
    assert found["tunnels"] == "vxlan"
    assert found["steps"] == [
        {
            "name": "switchover",
            "title": "S",
            "outcome": "failed",
            "seconds": 1.5,
            "figures": {"lost_packets": 3},
            "expected": "this",
            "seen": "that",
        }
    ]


def test_the_table_is_aligned_and_units_are_shown() -> None:
    steps = [
        StepResult("a", "short", "held", 0.26, {"lost_packets": 412, "outage_seconds": 2.0614}),
        StepResult("b", "a longer title"),
    ]
    assert report(*steps).to_table().splitlines() == [
        "STEP            RESULT   TIME   MEASURED",
        "short           held     0.3 s  lost packets 412, outage 2.061 s",
        "a longer title  not run",
    ]


def test_large_numbers_keep_all_their_digits() -> None:
    assert describe({"prefixes": 1_000_001}) == "prefixes 1000001"
    assert describe({"prefixes": 100_001}) == "prefixes 100001"
