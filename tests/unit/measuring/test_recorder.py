"""What becomes of readings of tunnels."""

from __future__ import annotations

from collections.abc import Sequence

from bgpsvc.measuring.rates import Counters
from bgpsvc.measuring.recorder import Reading, Recorder
from bgpsvc.model import SessionId
from bgpsvc.views import HistoryView, PrefixCounts

ONE, TWO = SessionId("conn1-tunnel1"), SessionId("conn1-tunnel2")
START = 1_760_000_000.0


def reading(
    total: int | None,
    tunnel: SessionId = ONE,
    index: int | None = 3,
    carried: float = 0.0,
    prefixes: int = 4,
) -> Reading:
    counters = None if total is None else Counters(total, 2 * total, total // 100, total // 50)
    counts = PrefixCounts(received=prefixes, accepted=prefixes - 1, advertised=1)
    return Reading(tunnel, index, counters, carried, True, counts)


def feed(recorder: Recorder, *at_and_reading: tuple[float, Reading]) -> None:
    for at, taken in at_and_reading:
        recorder.take(START + at, taken)
        recorder.finish(START + at, {ONE, TWO})


def tail(view: HistoryView, column: str, count: int) -> Sequence[float | None]:
    values: Sequence[float | None] = getattr(view, column)
    return values[-count:]


def test_readings_become_intervals() -> None:
    recorder = Recorder()
    feed(recorder, (2.0, reading(0)), (5.0, reading(300, carried=3.0)), (10.0, reading(800, carried=4.0)))
    view = recorder.view(ONE, "15m", START + 12)
    assert (view.interval, len(view.bytes_in), view.start) == (5, 180, START + 10 - 900)
    assert tail(view, "bytes_in", 3) == (None, 100.0, 100.0)
    assert tail(view, "bytes_out", 3) == (None, 200.0, 200.0)
    assert tail(view, "packets_in", 3) == (None, 1.0, 1.0)
    assert tail(view, "carrying", 3) == (None, 1.0, 0.2)
    assert tail(view, "session_up", 3) == (None, 1.0, 1.0)
    assert tail(view, "prefixes_received", 3) == (None, 4, 4)
    assert tail(view, "prefixes_accepted", 2) == (3, 3)


def test_a_late_reading_spreads_what_passed_over_the_intervals_that_it_missed() -> None:
    recorder = Recorder()
    feed(recorder, (0.05, reading(0)), (17.05, reading(1700)), (20.05, reading(2000)))
    view = recorder.view(ONE, "15m", START + 20.05)
    assert tail(view, "bytes_in", 5) == (None, 100.0, 100.0, 100.0, 100.0)
    assert tail(view, "prefixes_received", 5) == (None, None, None, 4, 4), "these were not looked at"


def test_a_daemon_that_stood_still_for_minutes_says_nothing_of_them() -> None:
    recorder = Recorder()
    feed(recorder, (0.05, reading(0)), (5.05, reading(500)), (605.05, reading(10**9, carried=600.0)))
    feed(recorder, (610.05, reading(10**9 + 500, carried=605.0)))
    view = recorder.view(ONE, "15m", START + 611)
    assert [value for value in view.bytes_in if value is not None] == [100.0, 100.0]
    assert tail(view, "carrying", 2) == (1.0, 1.0)
    assert view.start == START + 610 - 900


def test_two_readings_within_an_interval_give_one_value() -> None:
    recorder = Recorder()
    feed(recorder, (0.05, reading(0)), (1.0, reading(100)), (4.0, reading(100)), (5.05, reading(205)))
    assert tail(recorder.view(ONE, "15m", START + 6), "bytes_in", 2) == (None, 100.0)


def test_a_tunnel_without_interface_or_bgp_has_the_rest() -> None:
    recorder = Recorder()
    bare = Reading(ONE, None, None, 0.0, None, None)
    feed(recorder, (0.05, bare), (5.05, bare))
    view = recorder.view(ONE, "15m", START + 6)
    assert tail(view, "carrying", 2) == (None, 0.0)
    for column in ("bytes_in", "packets_out", "session_up", "prefixes_received", "prefixes_advertised"):
        assert set(getattr(view, column)) == {None}


def test_a_tunnel_that_goes_is_forgotten_and_begins_anew() -> None:
    recorder = Recorder()
    feed(recorder, (0.05, reading(0)), (5.05, reading(500)), (5.05, reading(0, TWO)))
    recorder.take(START + 10.05, reading(500, TWO))
    recorder.finish(START + 10.05, {TWO})
    assert set(recorder.view(ONE, "15m", START + 11).bytes_in) == {None}
    assert tail(recorder.view(TWO, "15m", START + 11), "bytes_in", 2) == (None, 100.0)
    feed(recorder, (15.05, reading(10**9)))
    assert set(recorder.view(ONE, "15m", START + 16).bytes_in) == {None}


def test_before_the_first_reading_all_is_unknown() -> None:
    view = Recorder().view(ONE, "24h", START)
    assert (view.tunnel, view.window, set(view.carrying)) == (ONE, "24h", {None})
    assert view.start + 288 * 300 > START >= view.start + 287 * 300 - 5


def test_a_connection_made_anew_begins_to_count_anew() -> None:
    recorder = Recorder()
    feed(recorder, (0.0, reading(0, carried=100.0)), (5.0, reading(0, carried=2.0)))
    feed(recorder, (10.0, reading(0, carried=4.5)))
    assert tail(recorder.view(ONE, "15m", START + 10), "carrying", 2) == (None, 0.5)
