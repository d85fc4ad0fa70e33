"""What waits to be looked at: everything once, bounded, also while tables change under it."""

from __future__ import annotations

import pytest

from bgpsvc.bmp import backlog as module
from bgpsvc.bmp.backlog import UNKNOWN, Backlog, Walk
from bgpsvc.model import Prefix, pack_prefix


def prefix(number: int) -> Prefix:
    return pack_prefix(bytes((20, number >> 8 & 255, number & 255, 0)), 24)


def taken(backlog: Backlog, number: int = 3) -> list[tuple[float, list[Prefix]]]:
    found = []
    while backlog:
        found += [(at, list(prefixes)) for at, prefixes in backlog.take(number)]
    return found


def test_a_walk_comes_first_then_what_changed_since() -> None:
    table = {prefix(n): None for n in range(5)}
    backlog = Backlog()
    backlog.note((prefix(9),), 1.0)
    backlog.begin(Walk([table]))
    backlog.note((prefix(7),), 2.0)
    del table[prefix(0)]
    assert taken(backlog) == [
        (UNKNOWN, [prefix(n) for n in range(3)]),
        (UNKNOWN, [prefix(3), prefix(4)]),
        (2.0, [prefix(7)]),
    ]


def test_a_walk_over_tables_that_change_misses_nothing() -> None:
    first, second = ({prefix(base + n): None for n in range(10)} for base in (0, 10))
    walk = Walk([first, second])
    seen = walk.take(4)
    walk.disturbed()
    first.clear()
    second[prefix(99)] = None  # whoever adds notes it
    while portion := walk.take(4):
        seen += portion
    assert set(seen) == {prefix(n) for n in range(20)}


def test_a_change_that_nobody_told_of_is_noticed() -> None:
    table = {prefix(n): None for n in range(10)}
    walk = Walk([table])
    walk.take(4)
    table[prefix(99)] = None
    assert set(walk.take(100)) == set(table)


def test_what_changes_again_while_it_waits_is_told_once() -> None:
    backlog = Backlog()
    for at in range(1, 4):
        backlog.note((prefix(1), prefix(2)), float(at))
    backlog.note((prefix(2),), 4.0)
    assert taken(backlog, 100) == [(3.0, [prefix(1)]), (4.0, [prefix(2)])]


def test_a_large_note_is_taken_in_portions() -> None:
    backlog = Backlog()
    backlog.note(tuple(prefix(n) for n in range(7)), 1.0)
    assert [len(prefixes) for _, prefixes in taken(backlog)] == [3, 3, 1]
    assert backlog.size == 0


def test_whoever_flaps_takes_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MERGED", 100)
    backlog = Backlog()
    backlog.note(tuple(prefix(n) for n in range(50)), 0.5)
    for at in range(10_000):
        backlog.note((prefix(at % 7),), float(at))
    assert backlog.size <= 50 + 7 + 100
    assert {p for _, prefixes in taken(backlog) for p in prefixes} == {prefix(n) for n in range(50)}


def test_more_than_may_wait_is_an_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 100)
    backlog = Backlog()
    backlog.note(tuple(prefix(n) for n in range(100)), 1.0)
    assert not backlog.overflown
    backlog.note((prefix(1),), 1.0)
    backlog_is_full = backlog.overflown
    backlog.clear()
    assert (backlog_is_full, bool(backlog), backlog.overflown) == (True, False, False)
