"""Two BFD sessions against each other over a path that loses, delays and reorders (RFC 5880)."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import json
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bgpsvc.guard.bfd import BfdSession, Change
from bgpsvc.guard.bfd_wire import FINAL, POLL
from bgpsvc.guard.model import BfdSettings
from bgpsvc.model import SessionId

TUNNEL = SessionId("c1-tunnel1")
SLOW = 1.0
"""Both send once a second while they are not Up (6.8.3)."""


class Pair:
    """Two sessions, the packets that are under way between them, and what both said when."""

    def __init__(self, ours: BfdSettings, theirs: BfdSettings, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.loss = 0.0
        self.longest_delay = 0.0
        self.overtaking = True
        """A packet may arrive before one that was sent earlier."""
        self.last_arrival = [0.0, 0.0]
        self.settings = [ours, theirs]
        self.ends = [self.started(0), self.started(1)]
        self.kept = [json.dumps(end.snapshot()) for end in self.ends]
        self.revisions = [end.revision for end in self.ends]
        self.changes: list[tuple[float, int, Change]] = []
        self.one_sided_since: float | None = None
        self.longest_one_sided = 0.0
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._serial = itertools.count()

    def started(self, end: int) -> BfdSession:
        number = self.random.randrange(1, 1 << 32)
        return BfdSession(self.settings[end], number, self.now, self.random.random)

    def restart(self, end: int) -> None:
        """A new process that knows nothing of the one before."""
        self.ends[end] = self.started(end)
        self._look()

    def go_on(self, end: int) -> None:
        """Another process from the last snapshot, which was taken when the revision said so."""
        kept = json.loads(self.kept[end])
        self.ends[end] = BfdSession.restore(self.settings[end], kept, self.now, self.random.random)
        self.revisions[end] = -1
        self._look()

    def run(self, until: float, absent: int | None = None) -> None:
        """Let time go by; `absent` is an end whose process is gone (what is for it waits at its socket)."""
        while True:
            present = [end for end in (0, 1) if end != absent]
            for end in present:
                self._send(end)
            waiting = [packet for packet in self._under_way if packet[2] in present]
            soonest = min([self.ends[end].deadline() for end in present] + [p[0] for p in waiting[:1]])
            if soonest > until:
                break
            self.now = max(self.now, soonest)
            self._deliver(present)
        self.now = until
        self._look()

    def _deliver(self, present: list[int]) -> None:
        # Read before due: the order that the loop of a process keeps.
        later = []
        while self._under_way and self._under_way[0][0] <= self.now:
            packet = heapq.heappop(self._under_way)
            if packet[2] in present:
                self._told(packet[2], self.ends[packet[2]].received(packet[3], True, self.now))
            else:
                later.append(packet)
        for packet in later:
            heapq.heappush(self._under_way, packet)

    def _send(self, end: int) -> None:
        one = self.ends[end]
        while one.deadline() <= self.now:
            packet, change = one.due(self.now)
            self._told(end, change)
            if packet is not None:
                assert packet[1] & (POLL | FINAL) != POLL | FINAL
            if packet is not None and self.random.random() >= self.loss:
                arrives = self.now + self.random.random() * self.longest_delay
                if not self.overtaking:
                    arrives = self.last_arrival[end] = max(arrives, self.last_arrival[end])
                heapq.heappush(self._under_way, (arrives, next(self._serial), 1 - end, packet))

    def _told(self, end: int, change: Change | None) -> None:
        if change is not None:
            self.changes.append((self.now, end, change))
        if self.ends[end].revision != self.revisions[end]:
            self.revisions[end] = self.ends[end].revision
            self.kept[end] = json.dumps(self.ends[end].snapshot())
        self._look()

    def settle(self, most: float) -> None:
        """Let time go by until both have been Up for a second."""
        end = self.now + most
        while True:
            told = len(self.changes)
            self.run(self.now + SLOW)
            if self.up() == [True, True] and len(self.changes) == told:
                return
            assert self.now < end, self.changes[-8:]

    def up(self) -> list[bool]:
        return [end.up is True for end in self.ends]

    def _look(self) -> None:
        if self.one_sided_since is not None:
            self.longest_one_sided = max(self.longest_one_sided, self.now - self.one_sided_since)
        if len(set(self.up())) == 1:
            self.one_sided_since = None
        elif self.one_sided_since is None:
            self.one_sided_since = self.now


def settings_of(interval_ms: int, multiplier: int, authenticated: bool) -> BfdSettings:
    key = {"key_id": 3, "key": b"secret"} if authenticated else {}
    return BfdSettings("192.0.2.1", "192.0.2.2", interval_ms, multiplier, **key)  # type: ignore[arg-type]


intervals = st.sampled_from([10, 50, 300])
some = settings(max_examples=60, deadline=None)
multipliers = st.integers(1, 5)


@some
@given(
    intervals,
    intervals,
    multipliers,
    multipliers,
    st.booleans(),
    st.integers(0, 1 << 32),
    st.floats(0, 0.7),
    st.sampled_from([0.001, 0.03, 0.2]),
    st.lists(st.sampled_from(["restart 0", "restart 1", "go on 0", "go on 1", "quiet"]), max_size=5),
)
def test_never_up_on_one_side_for_long_and_up_again_in_the_end(
    ours_ms: int,
    theirs_ms: int,
    ours_multiplier: int,
    theirs_multiplier: int,
    authenticated: bool,
    seed: int,
    loss: float,
    delay: float,
    happens: list[str],
) -> None:
    ours = settings_of(ours_ms, ours_multiplier, authenticated)
    theirs = settings_of(theirs_ms, theirs_multiplier, authenticated)
    pair = Pair(ours, theirs, seed)
    pair.loss, pair.longest_delay = loss, delay
    pair.run(1.5)
    for what in happens:
        if what == "quiet":
            pair.loss = 1.0
        elif what.startswith("restart"):
            pair.restart(int(what[-1]))
        else:
            pair.go_on(int(what[-1]))
        pair.run(pair.now + 1.5)
        pair.loss = loss
    # A side that is Up hears of Down or nothing; one that is in Init for that time hears of nothing: a
    # Detection Time each, at the slow rate at the worst (6.8.4), and what is under way.
    worst = SLOW * max(ours_multiplier, theirs_multiplier)
    assert pair.longest_one_sided <= 2 * worst + 2 * delay
    pair.loss, pair.longest_delay = 0.0, 0.001
    pair.settle(4 * worst + 4 * SLOW)
    told = len(pair.changes)
    pair.run(pair.now + SLOW)
    assert len(pair.changes) == told
    for end, other in ((0, theirs), (1, ours)):
        status = pair.ends[end].status(TUNNEL)
        assert status.transmit_ms == max(ours_ms, theirs_ms)
        assert status.detection_ms == other.multiplier * max(ours_ms, theirs_ms)


@some
@given(
    intervals,
    st.integers(2, 5),
    st.booleans(),
    st.integers(0, 1 << 32),
    st.lists(st.floats(0, 0.7), min_size=1, max_size=6),
    st.booleans(),
)
def test_a_process_that_goes_on_is_not_noticed(
    interval_ms: int, multiplier: int, authenticated: bool, seed: int, absences: list[float], drops: bool
) -> None:
    """However often, as long as each absence leaves room for a packet in the peer's Detection Time."""
    ours = settings_of(interval_ms, multiplier, authenticated)
    pair = Pair(ours, ours, seed)
    pair.longest_delay = interval_ms / 10_000
    pair.settle(5.0)
    told = len(pair.changes)
    flaps = [end.status(TUNNEL).flaps for end in pair.ends]
    room = (multiplier - 1.2) * interval_ms / 1000  # the last packet may have left an interval before
    for absence in absences:
        # Somewhere in the interval, in the middle of a Poll Sequence or not.
        pair.run(pair.now + pair.random.random() * interval_ms / 250)
        if drops:
            pair.loss = 1.0
        pair.run(pair.now + absence / 0.7 * room, absent=0)
        pair.loss = 0.0
        pair.go_on(0)
    pair.run(pair.now + 2 * SLOW)
    assert pair.changes[told:] == []
    assert [end.status(TUNNEL).flaps for end in pair.ends] == flaps


@some
@example([(1, 1000), (1, 20), (0, 10), (0, 20), (0, 200)], False, 7854639, 0.1)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from([10, 20, 50, 200, 1000])), min_size=1, max_size=6),
    st.booleans(),
    st.integers(0, 1 << 32),
    st.sampled_from([0.001, 0.02, 0.1]),
)
def test_other_intervals_never_bring_it_down(
    adjusted: list[tuple[int, int]], authenticated: bool, seed: int, delay: float
) -> None:
    """6.8.3: both learn of the change before anybody may rely on it, also in the middle of another one.

    As long as packets stay in order: one that arrives late, with the shorter interval of before, is believed,
    as the RFC knows no order of packets without authentication.
    """
    ours = settings_of(200, 3, authenticated)
    pair = Pair(ours, ours, seed)
    pair.settle(5.0)
    pair.overtaking = False
    pair.longest_delay = delay / 10  # a fraction of an interval, so that nothing is late by itself
    told = len(pair.changes)
    for end, interval_ms in adjusted:
        pair.settings[end] = dataclasses.replace(pair.settings[end], interval_ms=interval_ms)
        pair.ends[end].adjust(pair.settings[end], pair.now)
        pair.run(pair.now + pair.random.random() * 0.3)
    pair.run(pair.now + 4.0)
    assert all(change.up for _at, _end, change in pair.changes[told:])
    agreed = max(one.interval_ms for one in pair.settings)
    assert [end.status(TUNNEL).transmit_ms for end in pair.ends] == [agreed, agreed]
    assert [end.detection_ms for end in pair.ends] == [3.0 * agreed, 3.0 * agreed]


def test_both_in_admin_down_and_back() -> None:
    """6.8.16: switched off is no failure on the other side, which is Up again when it is switched on."""
    ours = settings_of(50, 3, True)
    pair = Pair(ours, ours, 1)
    pair.longest_delay = 0.001
    pair.settle(5.0)
    pair.ends[1].received(pair.ends[0].shut(pair.now), True, pair.now)
    pair.run(pair.now + 3.0)
    assert pair.ends[1].up is None
    assert pair.ends[1].status(TUNNEL).remote_state == "AdminDown"
    pair.restart(0)
    pair.settle(8.0)
