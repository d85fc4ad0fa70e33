"""Many prefixes at once: groups by what they share, and the queue that spreads them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc import bulk
from bgpsvc.bulk import Backlog, discard, grouped
from bgpsvc.jobs import pieces
from bgpsvc.model import Prefix

KEYS = st.lists(st.integers(0, 40), unique=True, max_size=40)


def numbered(first: int, last: int) -> list[Prefix]:
    return [Prefix(n.to_bytes(4, "big") + b"\x18") for n in range(first, last)]


@given(KEYS, st.integers(1, 4))
def test_groups_are_the_keys_by_their_label(keys: list[int], labels: int) -> None:
    found = grouped(keys, [key % labels for key in keys])
    expected: dict[int, list[int]] = {}
    for key in keys:
        expected.setdefault(key % labels, []).append(key)
    assert found == expected
    if len(expected) == 1:
        assert next(iter(found.values())) is keys, "not copied"


def test_discarding_leaves_the_others() -> None:
    table = {1: "a", 2: "b", 3: "c"}
    discard(table, [2, 9, 2])
    assert table == {1: "a", 3: "c"}


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30), st.booleans(), st.integers(0, 3))),
    st.integers(1, 50),
)
def test_everything_that_is_added_is_taken(adds: list[tuple[int, int, bool, int]], budget: int) -> None:
    """However it comes: as a dictionary or a list, small or large, between takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "LARGE", 20)
        patch.setattr(bulk, "MOST", 90)
        backlog, waiting = Backlog(), set[Prefix]()
        for first, count, as_dict, takes in adds:
            prefixes = numbered(first, first + count)
            backlog.add(dict.fromkeys(prefixes) if as_dict else prefixes)
            waiting.update(prefixes)
            assert set(backlog) == waiting
            assert len(backlog) == sum(Counter(backlog).values())
            assert bool(backlog) is bool(waiting)
            for _ in range(takes):
                taken = backlog.take(budget)
                assert bool(taken) is bool(waiting)
                assert {*taken, *backlog} == waiting
                waiting = set(backlog)
        rest: set[Prefix] = set()
        while taken := backlog.take(budget):
            assert len(taken) <= budget + bulk.RUN
            rest.update(taken)
        assert rest == waiting
        assert not backlog
        assert list(backlog) == []


def test_a_queue_is_bounded_by_its_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "LARGE", 10)
    monkeypatch.setattr(bulk, "MOST", 100)
    backlog, prefixes = Backlog(), numbered(0, 40)
    for _ in range(50):
        backlog.add(prefixes)
    assert len(backlog) <= 100
    assert set(backlog) == set(prefixes)


def test_portions_jump_over_the_whole_and_are_all_different() -> None:
    prefixes = numbered(0, 20_000)
    backlog = Backlog()
    backlog.add(prefixes)
    portions = [backlog.take(2000) for _ in range(10)]
    for portion in portions:
        places = sorted(int.from_bytes(prefix[:4], "big") for prefix in portion)
        gaps = [b - a for a, b in zip([0, *places], [*places, 20_000], strict=True)]
        assert max(gaps) <= 10 * bulk.RUN
    assert sorted(prefix for portion in portions for prefix in portion) == prefixes
    starts = [min(portion) for portion in portions]
    assert starts != sorted(starts), "neighbours do not follow each other"


@given(st.integers(0, 300), st.integers(1, 70))
def test_pieces_are_bounded_and_whole(count: int, size: int) -> None:
    found = list(pieces(list(range(count)), size))
    assert sorted(item for piece in found for item in piece) == list(range(count))
    assert all(0 < len(piece) <= size + bulk.RUN for piece in found)
