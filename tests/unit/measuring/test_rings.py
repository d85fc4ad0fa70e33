"""Rings of fixed size, and coarser intervals made of finer ones."""

from __future__ import annotations

from math import isnan, nan

import pytest

from bgpsvc.measuring.rings import BYTES_PER_TUNNEL, RESOLUTIONS, Record, Ring, Row, consolidate
from bgpsvc.views import HistoryWindow


def traffic(value: float) -> Row:
    return Row(bytes_in=value, prefixes_received=value)


def column(record: Record, window: HistoryWindow, last: int, name: str = "bytes_in") -> list[float | None]:
    index = Row._fields.index(name)
    values = (row[index] for row in record.rows(window, last))
    return [None if isnan(value) else value for value in values]


def test_a_ring_holds_the_last_intervals_and_knows_nothing_of_those_between() -> None:
    ring = Ring(4)
    assert isnan(ring.row(7)[0])
    for interval, value in ((7, 70.0), (8, 80.0), (10, 100.0), (11, 110.0)):
        ring.put(interval, traffic(value))
    assert [row[0] for row in ring.rows(8, 4)] == pytest.approx([80, nan, 100, 110], nan_ok=True)
    assert isnan(ring.row(7)[0]), "its place is taken"
    assert isnan(ring.row(12)[0]), "has not been yet"
    with pytest.raises(ValueError, match="interval 11 is not behind 11"):
        ring.put(11, traffic(1.0))


def test_a_gap_longer_than_the_ring_leaves_nothing_of_before() -> None:
    ring = Ring(4)
    for interval in range(4):
        ring.put(interval, traffic(1.0))
    ring.put(1_000_000, traffic(2.0))
    assert [row[0] for row in ring.rows(999_997, 4)] == pytest.approx([nan, nan, nan, 2], nan_ok=True)


def test_intervals_are_put_together_of_what_is_known() -> None:
    rows = [
        Row(bytes_in=10.0, carrying=1.0, prefixes_received=5.0),
        Row(bytes_in=20.0, carrying=0.0, prefixes_received=7.0),
        Row(bytes_in=60.0, carrying=1.0),
        Row(carrying=1.0),
    ]
    made = Row(*consolidate(rows))
    assert (made.bytes_in, made.carrying, made.prefixes_received) == (30.0, 0.75, 7.0)
    assert isnan(made.session_up)


def test_each_window_shows_the_same_past_the_longer_the_coarser() -> None:
    record = Record()
    for interval in range(1000, 1241):
        record.put(interval, traffic(float(interval)))
    assert column(record, "15m", 1240)[-3:] == [1238.0, 1239.0, 1240.0]
    # 20 s are four intervals of 5 s: that of 1240 has only begun.
    assert column(record, "1h", 1240)[-3:] == [1233.5, 1237.5, 1240.0]
    # 300 s are sixty: 960 to 1019 was known from 1000 on, 1200 to 1259 has begun.
    assert column(record, "24h", 1240)[-6:] == [None, 1009.5, 1049.5, 1109.5, 1169.5, 1220.0]
    assert column(record, "24h", 1240, "prefixes_received")[-5:] == [1019, 1079, 1139, 1199, 1240]


def test_a_gap_over_the_end_of_coarser_intervals_stays_one() -> None:
    record = Record()
    record.put(10, traffic(4.0))
    record.put(22, traffic(8.0))
    assert column(record, "1h", 22)[-4:] == [4.0, None, None, 8.0]
    assert column(record, "1h", 23)[-1] == 8.0
    assert column(record, "24h", 22)[-1] == 6.0


@pytest.mark.parametrize("window", RESOLUTIONS)
def test_a_window_is_full_from_the_first_second_on(window: HistoryWindow) -> None:
    shape = RESOLUTIONS[window]
    seconds = {"15m": 900, "1h": 3600, "24h": 86400}[window]
    assert shape.interval * shape.count == seconds
    assert column(Record(), window, 5) == [None] * shape.count


def test_the_memory_of_a_tunnel_does_not_grow() -> None:
    record = Record()

    def size() -> int:
        return sum(len(ring._cells) * ring._cells.itemsize for ring in record._rings)

    assert size() == BYTES_PER_TUNNEL == 23_328
    for interval in range(0, 20_000, 3):
        record.put(interval, traffic(1.0))
    assert size() == BYTES_PER_TUNNEL
