"""Whatever readings come when: histories are as long as their window, and no rate is more than there was."""

from __future__ import annotations

from itertools import accumulate
from math import isclose

from hypothesis import given, settings
from hypothesis import strategies as st

from bgpsvc.measuring.rates import Counters
from bgpsvc.measuring.recorder import Reading, Recorder
from bgpsvc.measuring.rings import RESOLUTIONS
from bgpsvc.model import SessionId

TUNNEL = SessionId("conn1-tunnel1")
START = 1_760_000_000.0
LINE_RATE = 1e10
"""Bytes per second that pass at the most."""


def reading(index: int | None, total: int) -> Reading:
    counters = None if index is None else Counters(total, 0, total, 0)
    return Reading(TUNNEL, index, counters, float(total), True, None)


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 400.0),
            st.floats(0.0, 1.0),
            st.sampled_from(["on", "on", "on", "set back", "replaced", "gone"]),
            st.integers(0, 2**63),
        ),
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None)
def test_counters_that_begin_anew_at_any_time_give_no_wrong_rate(
    story: list[tuple[float, float, str, int]],
) -> None:
    recorder, at, index, total = Recorder(), START, 1, 0
    for seconds, load, what, anew in story:
        at += seconds
        total += int(seconds * load * LINE_RATE)
        if what == "set back":
            total = min(total, int(load * 1000))
        elif what in ("replaced", "gone"):
            index, total = index + 1, anew
        recorder.take(at, reading(None if what == "gone" else index, total))
        recorder.finish(at, {TUNNEL})
        for window, shape in RESOLUTIONS.items():
            view = recorder.view(TUNNEL, window, at)
            assert len(view.bytes_in) == len(view.carrying) == len(view.prefixes_received) == shape.count
            assert at - 2 * shape.interval < view.start + shape.count * shape.interval <= at + shape.interval
            assert all(rate is None or 0 <= rate <= LINE_RATE * 1.001 for rate in view.bytes_in)
            assert all(share is None or 0 <= share <= 1 for share in view.carrying)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=170), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_what_passed_is_what_the_intervals_add_up_to(passed: list[int], begin: int) -> None:
    recorder = Recorder()
    begin = int(START) // 5 + begin
    for interval, total in enumerate(accumulate(passed), begin):
        recorder.take(interval * 5.0, reading(1, total))
        recorder.finish(interval * 5.0, {TUNNEL})
    now = (begin + len(passed)) * 5.0
    exact = recorder.view(TUNNEL, "15m", now)
    known = [rate for rate in exact.bytes_in if rate is not None]
    assert len(known) == len(passed) - 1
    assert isclose(sum(known) * 5, sum(passed[1:]), rel_tol=1e-5, abs_tol=10)
    for window in RESOLUTIONS:
        coarse = [rate for rate in recorder.view(TUNNEL, window, now).bytes_in if rate is not None]
        assert min(known) * 0.999 - 1 <= min(coarse) <= max(coarse) <= max(known) * 1.001 + 1
