"""Buckets and the failure log: pure, with a clock of the test's own."""

from __future__ import annotations

import pytest

from api.limits import AUDIT_EVERY, AUDIT_PER_MINUTE, Buckets, FailureLog, caller_of, retry_after


def test_a_burst_and_then_the_rate() -> None:
    buckets = Buckets(rate=2, burst=3, callers=10)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("a", 0.25) == 0.25
    assert buckets.take("a", 0.5) == 0
    assert buckets.take("b", 0.5) == 0
    # An hour's rest fills it, and no more than that.
    assert [buckets.take("a", 3600.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_memory_is_bounded_and_the_callers_seen_last_are_kept() -> None:
    buckets = Buckets(rate=0.001, burst=1, callers=100)
    for number in range(10_000):
        buckets.take(f"spray {number}", 0.0)
        buckets.take("busy", 0.0)
    assert len(buckets) == 100
    assert buckets.take("busy", 1.0) > 0


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_who_an_address_stands_for(address: str, caller: str) -> None:
    assert caller_of(address) == caller


def test_retry_after_is_whole_seconds() -> None:
    assert [retry_after(wait) for wait in (0.01, 1.0, 1.2)] == ["1", "1", "2"]


def test_one_entry_a_minute_says_how_many_were_left_out() -> None:
    failures = FailureLog(callers=10)
    assert [failures.note("a", 0.0), failures.note("a", 1.0), failures.note("a", 2.0)] == [0, None, None]
    assert failures.note("a", AUDIT_EVERY) == 2
    assert failures.note("a", AUDIT_EVERY + 1) is None


def test_many_addresses_do_not_flood_the_log_either() -> None:
    failures = FailureLog(callers=10)
    noted = [failures.note(f"address {number}", 0.0) for number in range(1000)]
    assert noted.count(0) == AUDIT_PER_MINUTE
    # What nobody was told of is told with the next entry.
    failures.note("late", 0.0)
    assert failures.note("late", 60.0) == 1
