"""Rates between two readings of counters that may begin anew."""

from __future__ import annotations

import pytest

from bgpsvc.measuring.rates import Counters, Meter, Rates

BASE = Counters(1_000_000, 2_000_000, 1_000, 2_000)


def more(base: Counters, *by: int) -> Counters:
    return Counters(*(value + added for value, added in zip(base, by, strict=True)))


def metered() -> Meter:
    meter = Meter()
    assert meter.read(10.0, 7, BASE) is None, "one reading says nothing"
    return meter


def test_rates_are_over_the_time_that_really_passed() -> None:
    assert metered().read(14.0, 7, more(BASE, 400, 800, 4, 8)) == Rates(100.0, 200.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("index", "counters"),
    [
        pytest.param(8, more(BASE, 10**15, 0, 0, 0), id="another interface with larger counters"),
        pytest.param(8, Counters(5, 5, 5, 5), id="another interface"),
        pytest.param(7, Counters(5, 5, 5, 5), id="counters set back"),
        pytest.param(7, BASE._replace(packets_out=1_999), id="one counter set back"),
        pytest.param(None, None, id="no interface"),
        pytest.param(7, None, id="no counters of it"),
    ],
)
def test_counters_that_begin_anew_give_no_rate_and_count_from_there(
    index: int | None, counters: Counters | None
) -> None:
    meter = metered()
    assert meter.read(15.0, index, counters) is None
    if counters is not None:
        assert meter.read(20.0, index, more(counters, 50, 0, 5, 0)) == Rates(10.0, 0.0, 1.0, 0.0)
    else:
        assert meter.read(20.0, 7, more(BASE, 50, 0, 5, 0)) is None, "how much of it is of before?"


def test_no_time_gives_no_rate() -> None:
    assert metered().read(10.0, 7, more(BASE, 1, 1, 1, 1)) is None
