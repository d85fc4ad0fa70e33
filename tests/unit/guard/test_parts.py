"""Small parts of the guard: timers, the probe, the loop's turns, its end of the socket."""

from __future__ import annotations

import itertools
import math
import os
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bgpsvc.guard import server as server_module
from bgpsvc.guard.loop import Loop
from bgpsvc.guard.memory import Memory
from bgpsvc.guard.messages import pack
from bgpsvc.guard.model import (
    Hello,
    Method,
    Plan,
    ProbeSettings,
    ProbeStatus,
    Quit,
    Refused,
    ToGuard,
    Watch,
    Watched,
)
from bgpsvc.guard.probe import PeerProbe
from bgpsvc.guard.server import Server, listen
from bgpsvc.guard.timers import Timers
from bgpsvc.guard.watching import Watching
from bgpsvc.model import SessionId

# Timers --------------------------------------------------------------------------------------


class Task:
    def __init__(self, *again: float) -> None:
        self.again = list(again)
        self.ran: list[float] = []

    def run(self, now: float) -> float:
        self.ran.append(now)
        return self.again.pop(0) if self.again else math.inf


def test_tasks_run_when_they_are_due_and_never_after_they_were_cancelled() -> None:
    timers, early, late, never = Timers(), Task(5.0), Task(), Task()
    assert timers.next() == math.inf
    timers.set(late, 3.0)
    timers.set(early, 2.0)
    timers.set(never, 1.0)
    timers.cancel(never)
    assert timers.next() == 2.0
    timers.set(late, 4.0)
    assert timers.run(3.5, 10) == 1
    assert (early.ran, late.ran, timers.next()) == ([3.5], [], 4.0)
    assert timers.run(9.0, 1) == 1, "no more than was asked for"
    assert (early.ran, late.ran, timers.next()) == ([3.5], [9.0], 5.0)
    timers.set(early, math.inf)
    assert timers.next() == math.inf
    assert never.ran == []


# Belief --------------------------------------------------------------------------------------


def test_what_is_not_believed_is_believed_again_once_it_said_up_without_a_daemon() -> None:
    loop = Loop(Memory())
    watching = Watching(loop, Memory().tunnels)
    ident, probe = SessionId("c-tunnel1"), ProbeSettings("10.0.0.1", "10.0.0.2", 100, 1)
    watched = Watched(ident, "t1", probe=probe)
    try:
        watching.follow(Watch((watched,)), 0.0)
        watching.links({"t1": True})
        tunnel = watching.tunnels[ident]
        assert tunnel.probe is not None
        for _ in range(2):
            tunnel.probe._replied(tunnel.probe.probe.next(1.0)[0], 1.1)
            assert (tunnel.dead, tunnel.alive) == (False, True)
            for at in (2.0, 3.0):
                tunnel.probe.probe.next(at)
            watching.changed(ident, Method.PROBE)
            assert (tunnel.dead, tunnel.alive) == (True, False)
            watching.follow(Watch((replace(watched, disbelieved=(Method.PROBE,)),)), 4.0)
            assert (tunnel.dead, tunnel.alive) == (False, False)
    finally:
        watching.close()
        loop.close()


# The probe -----------------------------------------------------------------------------------

PROBE = ProbeSettings("10.0.0.1", "10.0.0.2", 100, 3)


def play(probe: PeerProbe, replies: str, back: int = 0) -> list[tuple[int, bool | None]]:
    """Requests every 100 ms; `+` where the one `back` intervals ago is answered. Where `up` changed."""
    found = []
    asked: list[int] = []
    for step, answered in enumerate(replies):
        before = probe.up
        asked.append(probe.next(step * 0.1)[0])
        if answered == "+" and len(asked) > back:
            probe.replied(asked[-1 - back], step * 0.1 + 0.02)
        if probe.up is not before:
            found.append((step, probe.up))
    return found


@pytest.mark.parametrize(
    ("replies", "back", "changes"),
    [
        ("------", 0, []),  # never answered: not in force
        ("--+--+--+", 0, [(2, True)]),  # two lost in a row are not three
        ("+---+", 0, [(0, True), (4, False)]),  # the third is lost when the fourth is due
        ("+----++-+++", 0, [(0, True), (4, False), (10, True)]),  # three replies in a row
        ("++++++++", 4, [(4, True)]),  # on a way of four intervals nothing is lost
        ("++++++++----+", 2, [(2, True), (11, False)]),
    ],
)
def test_probe(replies: str, back: int, changes: list[tuple[int, bool]]) -> None:
    probe = PeerProbe(PROBE)
    assert play(probe, replies, back) == changes
    assert probe.detection_ms == (400.0 if changes else None)


def test_probe_counts_and_goes_on_in_another_process() -> None:
    probe = PeerProbe(PROBE)
    play(probe, "+-+----")
    assert probe.status(SessionId("t")) == ProbeStatus(SessionId("t"), False, 7, 4, 3, probe.round_trip_ms)
    assert probe.round_trip_ms == pytest.approx(20)
    assert probe.reason == "no reply from 10.0.0.2 to 3 in a row"
    other = PeerProbe(PROBE)
    other.restore(probe.snapshot())
    assert (other.up, other.sent, other.detection_ms) == (False, 7, 400.0)
    assert play(other, "+++") == [(2, True)]


def test_replies_to_nothing_or_twice_do_not_count() -> None:
    probe = PeerProbe(PROBE, up=False)
    sequence, _ = probe.next(0.0)
    for answer in (sequence, sequence, sequence + 1, 99):
        assert not probe.replied(answer, 0.01)
    assert probe.replied_in_a_row == 1


def test_sequence_numbers_wrap() -> None:
    probe = PeerProbe(PROBE, sent=(1 << 16) - 2)
    assert play(probe, "+" * 600) == [(0, True)]
    assert probe.lost == 0


# The loop ------------------------------------------------------------------------------------


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(Memory())
    yield made
    made.close()


def test_what_has_come_is_read_before_timers_run(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    happened: list[str] = []

    class Due:
        def run(self, now: float) -> float:
            happened.append("due")
            return math.inf

    def read(_: int) -> None:
        ours.recv(10)
        happened.append("read")

    loop.add(ours.fileno(), read)
    loop.timers.set(Due(), time.monotonic() - 1)
    theirs.send(b"x")
    loop.turn(lambda _: happened.append("after"))
    assert happened == ["read", "after", "due", "after"]
    ours.close()
    theirs.close()


def test_nobody_is_declared_dead_whose_packet_came_while_something_else_took_long(loop: Loop) -> None:
    """A handler outlasts a detection time; what expired meanwhile waits until packets were read again."""
    slow, start = socket.socketpair()
    ours, theirs = socket.socketpair()
    happened: list[str] = []
    expires = math.inf

    class Detection:
        def run(self, now: float) -> float:
            happened.append("dead")
            return math.inf

    def work(_: int) -> None:
        slow.recv(10)
        theirs.send(b"a packet of the peer")
        while time.monotonic() <= expires:
            pass

    def read(_: int) -> None:
        ours.recv(100)
        happened.append("packet")

    loop.add(slow.fileno(), work)
    loop.add(ours.fileno(), read)
    start.send(b"x")
    expires = time.monotonic() + 0.05
    loop.timers.set(Detection(), expires)
    for _ in range(2):
        loop.turn(lambda _: None)
    assert happened == ["packet", "dead"]
    for sock in (slow, start, ours, theirs):
        sock.close()


def test_a_flood_does_not_starve_timers(loop: Loop) -> None:
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    ran = []

    class Due:
        def run(self, now: float) -> float:
            ran.append(now)
            return now + 0.001

    def read(_: int) -> None:
        ours.recv(10)
        theirs.send(b"and another one")

    theirs.send(b"x")
    loop.add(ours.fileno(), read)
    loop.timers.set(Due(), 0.0)
    turns = itertools.count()
    while len(ran) < 5:
        loop.turn(lambda _: None)
        assert next(turns) < 100_000
    ours.close()
    theirs.close()


# The socket ----------------------------------------------------------------------------------


class Talk:
    """A server and who connects to it."""

    def __init__(self, loop: Loop, directory: Path) -> None:
        fd = os.open(directory, os.O_PATH)
        self.path = directory / "guard.sock"
        self.listener = listen(fd, "guard.sock")
        os.close(fd)
        self.server = Server(self.listener, loop.epoll)
        self.loop = loop

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(str(self.path))
        assert self.server.accept()
        return sock

    def hear(self) -> list[ToGuard]:
        found: list[ToGuard] = []
        while events := self.loop.epoll.poll(0):
            for fd, mask in events:
                assert fd == self.server.fileno()
                found += self.server.ready(mask)
        return found


@pytest.fixture
def talk(loop: Loop, tmp_path: Path) -> Iterator[Talk]:
    made = Talk(loop, tmp_path)
    yield made
    made.server.close()
    made.listener.close()


def test_only_our_own_user_may_connect(talk: Talk) -> None:
    assert stat.S_IMODE(talk.path.stat().st_mode) == 0o600


def test_messages_come_whole_however_they_are_cut(talk: Talk) -> None:
    with talk.connect() as daemon:
        data = pack(Watch(())) + pack(Plan((), (5,))) + pack(Quit())
        heard = []
        for i in range(0, len(data), 7):
            daemon.send(data[i : i + 7])
            heard += talk.hear()
        assert heard == [Watch(()), Plan((), (5,)), Quit()]


@pytest.mark.parametrize(
    "line",
    [
        b"SSH-2.0-x\n",
        b"{}\n",
        b'{"type":"Plan","groups":[7]}\n',
        b"[" * 9999 + b"\n",
        pack(Refused("a", "b")),
    ],
)
def test_who_says_what_is_not_understood_is_dropped_but_not_what_was(talk: Talk, line: bytes) -> None:
    with talk.connect() as daemon:
        daemon.send(pack(Watch(())) + line + pack(Quit()))
        assert talk.hear() == [Watch(())]
        assert not talk.server.connected
        assert daemon.recv(1) == b""


def test_the_newest_daemon_counts(talk: Talk) -> None:
    with talk.connect() as first, talk.connect() as second:
        assert first.recv(1) == b""
        talk.server.send(Refused("a", "b"))
        talk.server.flush()
        assert second.recv(1000) == pack(Refused("a", "b"))


def test_who_does_not_read_is_dropped_and_nobody_waits(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "OUT_LIMIT", 1 << 20)
    hello = Hello(1, 2, 3, 4.0, (5,), None, 6)
    with talk.connect():
        crowded = []
        for _ in range(1_000_000):
            talk.server.send(hello)
            talk.server.flush()
            if not talk.server.connected:
                break
            crowded.append(talk.server.crowded)
        assert crowded[-1]
        assert not crowded[0]
        assert not talk.server.connected
    with talk.connect() as next_one:
        talk.server.send(hello)
        talk.server.flush()
        assert next_one.recv(1000) == pack(hello), "nothing of what the one before did not read"
