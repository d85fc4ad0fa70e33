"""What becomes of the guard's words, and when it is told what."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bgpsvc.effects import Log
from bgpsvc.events import DetectionChanged, HealthChanged, OperatorSwitch
from bgpsvc.guard.model import (
    BfdStatus,
    CheckVerdict,
    Detection,
    Hello,
    Method,
    Plan,
    ProbeStatus,
    Refused,
    Status,
    ToDaemon,
    Watch,
)
from bgpsvc.guard_metrics import GuardCollector
from bgpsvc.guardian import Guardian, Heard
from bgpsvc.guarding import GuardStatus
from bgpsvc.metrics import exposition
from bgpsvc.model import SessionId, SwitchMode
from tests.unit.core.harness import Node
from tests.unit.core.test_detection import WATCHED, both_up
from tests.unit.support import T1, intent


class FakeGuarding:
    """Remembers what it was told last."""

    ports = frozenset({7})

    def __init__(self) -> None:
        self.watched: list[Watch] = []
        self.planned: list[Plan] = []

    async def start(self, watch: Watch, plan: Plan) -> None:
        self.watched.append(watch)
        self.planned.append(plan)

    def watch(self, watch: Watch) -> None:
        self.watched.append(watch)

    def plan(self, plan: Plan) -> None:
        self.planned.append(plan)

    def status(self) -> GuardStatus:
        return GuardStatus(12, 11, True, 50, 1, 2, 0.0, None)


class Bench:
    """A guardian beside an engine, with what it asked for."""

    def __init__(self, tmp_path: Path) -> None:
        self.node: Node = both_up()
        self.acts: list[Heard] = []
        self.notes: list[Log] = []
        self.guarding = FakeGuarding()
        self.guardian = Guardian(self.node.engine, tmp_path, self.act, self.notes.append)
        self.guardian._guarding = self.guarding  # type: ignore[assignment]

    def act(self, heard: Heard) -> None:
        self.acts.append(heard)
        if heard.event is not None:
            self.node.engine.handle(heard.event, 9)

    def hear(self, message: ToDaemon) -> None:
        self.guardian._on_message(message)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def dead(moved: tuple[tuple[int, int], ...] = ()) -> Detection:
    return Detection(T1, Method.BFD, False, "nothing heard for 150 ms", 8.0, None, moved)


def test_a_move_of_the_guards_is_told_once_after_the_engine_knows_why(bench: Bench) -> None:
    bench.hear(dead(moved=((5, 6),)))
    said = DetectionChanged(T1, "bfd", False, "nothing heard for 150 ms", None, 8.0)
    assert bench.acts == [Heard(said, moved=True)]
    (note,) = bench.notes
    assert (note.kind, note.subject, note.data["groups"]) == ("guard.switched", T1, 1)
    assert note.message.startswith("the guard moved 1 nexthop group away: nothing heard for 150 ms; heard ")
    bench.hear(dead(moved=((5, 6),)))  # again, as on every connection
    assert len(bench.notes) == 1
    bench.hear(dead(moved=((5, 6), (7, 8))))
    assert [n.data["groups"] for n in bench.notes] == [1, 1]
    assert bench.guardian.figures.moved == 2


def test_how_fast_the_guard_moved_is_counted_once_for_each_move(bench: Bench) -> None:
    said = Detection(T1, Method.BFD, False, "nothing heard for 150 ms", 8.002, None, ((5, 6),), since=8.0)
    bench.hear(said)
    bench.hear(said)
    counts = dict(bench.guardian.figures.switches.cumulative())
    assert (counts["0.001"], counts["0.0025"], counts["+Inf"]) == (0, 1, 1)
    bench.hear(Detection(T1, Method.LINK, False, "t1 is down", 9.0, None, ((7, 8),)))
    assert dict(bench.guardian.figures.switches.cumulative())["+Inf"] == 1, (
        "of a link nobody knows since when"
    )


def test_the_same_move_after_the_tunnel_was_back_is_another_one(bench: Bench) -> None:
    for failures in (1, 2, 3):
        bench.hear(dead(moved=((5, 6),)))
        bench.hear(dead(moved=((5, 6),)))
        assert bench.guardian.figures.moved == len(bench.notes) == failures
        # It is told that BFD is up long before the hold-down is over, and then nothing more.
        bench.hear(Detection(T1, Method.BFD, True, "up", 9.0, 150.0))
        bench.node.engine.tick(1000.0)


def test_what_is_known_already_is_no_news(bench: Bench) -> None:
    bench.hear(dead())
    bench.hear(dead())
    assert len(bench.acts) == 1
    said = Detection(T1, Method.PROBE, False, "no reply", 8.0, since=3.0)
    bench.hear(said)
    assert bench.acts.pop() == Heard(DetectionChanged(T1, "probe", False, "no reply", None, 3.0))
    bench.hear(Detection(T1, Method.LINK, True, "t1 is up", 8.0, 1000.0))
    bench.hear(Detection(SessionId("gone-tunnel1"), Method.BFD, False, "", 8.0))
    assert len(bench.acts) == 1
    bench.hear(Detection(T1, Method.LINK, False, "t1 is down", 8.0, 1000.0))
    assert bench.acts[1:] == [Heard(links=True)]


def test_other_words(bench: Bench) -> None:
    bench.hear(CheckVerdict(T1, False, "no reply"))
    assert bench.acts == [Heard(HealthChanged(T1, False, "no reply"))]
    bench.hear(Refused("group 0x5", "no such device"))
    assert [(n.kind, n.severity, n.message) for n in bench.notes] == [
        ("guard.error", "error", "group 0x5: no such device")
    ]
    ports = []
    bench.guardian.ports_changed = lambda: ports.append(bench.guardian.ports)
    bench.hear(Hello(1, 2, 3, 0.0, (7,), None, 0))
    assert ports == [frozenset({7})]


@pytest.mark.parametrize(
    ("there", "why", "told"),
    [
        (False, "No such device", False),
        (True, "No such device", True),
        (False, "Cannot assign requested address", True),
    ],
)
def test_an_interface_that_is_not_there_yet_is_no_error_of_the_guard(
    bench: Bench, there: bool, why: str, told: bool
) -> None:
    bench.node.engine.tunnels[T1].link_up = there
    bench.hear(Refused(f"{T1} bfd", f"BFD to 169.254.10.2 over t1: {why}"))
    assert [note.kind for note in bench.notes] == ["guard.error"] * told


def test_figures_are_those_of_tunnels_that_are_watched_so(bench: Bench) -> None:
    bfd = BfdStatus(T1, "Up", "Up", "none", "none", 1, 2, 50, 50, 150, 9, 8, 7, "TTL", 6, 5)
    unknown = BfdStatus(SessionId("gone-tunnel1"), *("Up", "Up", "", "", 1, 2, 5, 5, 5, 9, 8, 7, None, 6, 5))
    bench.hear(Status((bfd, unknown), (ProbeStatus(T1, True, 3, 0, 0, 1.5),)))
    assert bench.guardian.seen.running
    assert set(bench.guardian.seen.bfd) == set(bench.guardian.seen.probes) == {T1}
    shown = exposition(GuardCollector(bench.node.engine, bench.guardian.figures)).decode().splitlines()
    tunnel1 = 'connection="conn1",role="active",session="conn1-tunnel1"'
    sent = 'direction="sent",role'
    for line in (
        "bgpsvc_guard_up 1.0",
        "bgpsvc_guard_takeovers 2.0",
        "bgpsvc_guard_restarts_total 1.0",
        f"bgpsvc_bfd_state{{{tunnel1}}} 3.0",
        f"bgpsvc_bfd_flaps_total{{{tunnel1}}} 5.0",
        f"bgpsvc_bfd_rejected_packets_total{{{tunnel1}}} 7.0",
        f"bgpsvc_bfd_packets_total{{{tunnel1.replace('role', sent)}}} 9.0",
        f"bgpsvc_probe_up{{{tunnel1}}} 1.0",
        f"bgpsvc_probe_sent_total{{{tunnel1}}} 3.0",
        f"bgpsvc_probe_round_trip_seconds{{{tunnel1}}} 0.0015",
    ):
        assert line in shown
    bench.node.engine.reconfigure(intent(), 9)
    bench.hear(Status((), ()))
    assert not bench.guardian.seen.bfd
    assert not bench.guardian.seen.probes


def test_the_guard_is_told_what_became_different_and_nothing_else(bench: Bench) -> None:
    guardian, told = bench.guardian, bench.guarding
    guardian.follow()
    assert not told.watched, "not before it is started"

    async def first_words(watch: Watch, plan: Plan) -> None:
        await FakeGuarding.start(told, watch, plan)
        for one in watch.tunnels:
            for method in Method:
                guardian._on_message(Detection(one.tunnel, method, True, "up", 1.0, 150.0))

    told.start = first_words  # type: ignore[method-assign]
    asyncio.run(guardian.start())
    assert (len(told.watched), len(told.planned)) == (1, 1)
    assert told.planned[0].whole
    guardian.follow()
    assert (len(told.watched), len(told.planned)) == (1, 1)
    bench.node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 2)
    guardian.follow()
    assert (len(told.watched), len(told.planned)) == (1, 2)
    bench.node.engine.reconfigure(intent(hold_time=9, **WATCHED), 3)
    guardian.follow()
    assert len(told.watched) == 2
    bench.hear(dead())
    bench.node.engine.tick(1000)  # the session outlived it
    guardian.follow()
    assert len(told.watched) == 3
    assert told.watched[-1].tunnels[0].disbelieved == (Method.BFD,)
