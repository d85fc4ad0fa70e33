"""The recent past of all tunnels. Pure; time is an argument."""

from __future__ import annotations

from array import array
from collections.abc import Container
from dataclasses import dataclass
from itertools import chain
from math import isnan, nan

from bgpsvc.measuring.rates import Counters, Meter
from bgpsvc.measuring.rings import FINEST, RESOLUTIONS, WIDTH, Record, Row
from bgpsvc.model import SessionId
from bgpsvc.views import HistoryView, HistoryWindow, PrefixCounts

LONGEST_SILENCE = 60.0
"""Seconds between two readings beyond which an average says nothing of the intervals between."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a tunnel at one moment.

    `index` and `counters` are those of its interface, None if there is none; `carried`: seconds in all in
    which it carried traffic; `session_up` and `prefixes` of its BGP session, None without BGP.
    """

    tunnel: SessionId
    index: int | None
    counters: Counters | None
    carried: float
    session_up: bool | None
    prefixes: PrefixCounts | None


class _Recorded:
    __slots__ = ("at", "carried", "meter", "record")

    def __init__(self) -> None:
        self.meter = Meter()
        self.record = Record()
        self.at: float | None = None
        self.carried = 0.0


class Recorder:
    """Takes a reading of each tunnel about once an interval, and answers with what it was.

    `at` is a clock of Unix seconds that only rises. A reading stands for every interval that ended since the
    one before; that it comes somewhat late does no harm, as rates are over the time that really passed.
    """

    def __init__(self) -> None:
        self._recorded: dict[SessionId, _Recorded] = {}
        self._last: int | None = None
        """The last interval that readings were finished for."""

    def take(self, at: float, reading: Reading) -> None:
        """A reading. The first of a tunnel only begins its history."""
        recorded = self._recorded.setdefault(reading.tunnel, _Recorded())
        before, recorded.at = recorded.at, at
        carried, recorded.carried = reading.carried - recorded.carried, reading.carried
        rates = recorded.meter.read(at, reading.index, reading.counters)
        if before is None or at <= before:
            return
        share = min(carried / (at - before), 1.0) if carried >= 0 else nan
        first, last = _over(before) + 1, _over(at)
        if at - before > LONGEST_SILENCE:
            first, rates = max(first, last), None
        passed = (*((nan, nan, nan, nan) if rates is None else rates), share)
        for interval in range(first, last):
            recorded.record.put(interval, Row(*passed))
        if first <= last:
            recorded.record.put(last, Row(*passed, *_levels(reading)))

    def finish(self, at: float, tunnels: Container[SessionId]) -> None:
        """All readings of this moment were taken: windows end here. Other tunnels are forgotten."""
        self._last = _over(at)
        for gone in [tunnel for tunnel in self._recorded if tunnel not in tunnels]:
            del self._recorded[gone]

    def view(self, tunnel: SessionId, window: HistoryWindow, now: float) -> HistoryView:
        """The window that ends with the last reading; all unknown for a tunnel that none was taken of."""
        shape = RESOLUTIONS[window]
        last = _over(now) if self._last is None else self._last
        end = last * FINEST // shape.interval + 1
        recorded = self._recorded.get(tunnel)
        if recorded is None:
            cells = array("f", [nan]) * (WIDTH * shape.count)
        else:
            cells = array("f", chain.from_iterable(recorded.record.rows(window, last)))
        columns = dict(zip(Row._fields, (cells[column::WIDTH] for column in range(WIDTH)), strict=True))
        return HistoryView(
            tunnel=tunnel,
            window=window,
            interval=shape.interval,
            start=float((end - shape.count) * shape.interval),
            bytes_in=_numbers(columns["bytes_in"], 1),
            bytes_out=_numbers(columns["bytes_out"], 1),
            packets_in=_numbers(columns["packets_in"], 2),
            packets_out=_numbers(columns["packets_out"], 2),
            carrying=_numbers(columns["carrying"], 3),
            session_up=_numbers(columns["session_up"], 3),
            prefixes_received=_counts(columns["prefixes_received"]),
            prefixes_accepted=_counts(columns["prefixes_accepted"]),
            prefixes_advertised=_counts(columns["prefixes_advertised"]),
        )


def _over(at: float) -> int:
    """The last interval that is over."""
    return int(at // FINEST) - 1


def _levels(reading: Reading) -> tuple[float, ...]:
    up, counts = reading.session_up, reading.prefixes
    return (
        nan if up is None else float(up),
        *((nan, nan, nan) if counts is None else (counts.received, counts.accepted, counts.advertised)),
    )


def _numbers(column: array[float], digits: int) -> tuple[float | None, ...]:
    return tuple(None if isnan(value) else round(value, digits) for value in column)


def _counts(column: array[float]) -> tuple[int | None, ...]:
    return tuple(None if isnan(value) else int(value) for value in column)
