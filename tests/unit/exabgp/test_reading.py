"""Reading in large pieces: however the stream is divided, the same messages in the same order."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from exabgp.bgp.message import _NOP, KeepAlive, Message, Notify, Update
from exabgp.bgp.message.refresh import RouteRefresh
from exabgp.bgp.message.update.attribute import Attributes as ExabgpAttributes
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.reactor.network.connection import Connection
from exabgp.reactor.network.error import LostConnection, NetworkError, NotConnected, TooSlowError
from exabgp.reactor.protocol import Protocol
from hypothesis import given, settings
from hypothesis import strategies as st

from bgpsvc.exabgp import reading, treatment
from bgpsvc.exabgp.rfc7606 import Peering
from tests.fakes import bgp_wire as wire
from tests.unit.exabgp.handing_over import HELPER, handed_over, protocol
from tests.unit.exabgp.test_fastpath import GOOD, body
from tests.unit.exabgp.test_rfc7606 import Negotiated

log.init(getenv())
AGREED = Negotiated(Peering(asn4=True, ibgp=False))
ONE, TWO = body(GOOD, wire.nlri("20.0.0.0/8")), body(b"", b"", wire.nlri("30.0.0.0/8"))


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "_reader", reading.read)
    monkeypatch.setattr(ExabgpAttributes, "unpack", classmethod(treatment.unpack_attributes))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Any]]:
    """The peer's end, and a protocol that reads the other one."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    made = Wired(ours)
    with theirs, ours:
        yield theirs, made


class Wired(Protocol):  # type: ignore[misc]
    """ExaBGP's own `Protocol`, with what `handing_over` plays around it."""

    def __init__(self, io: socket.socket) -> None:
        made = protocol(AGREED, io)
        made.neighbor.api |= {"receive-parsed": [HELPER]}
        self.__dict__ |= vars(made) | {"log_routes": False}
        self.peer.reactor.processes.message = lambda *_: None
        self.peer.stats |= dict.fromkeys(("receive-keepalive", "receive-refresh", "receive-notification"), 0)
        self.generator: Iterator[Any] | None = None

    def turn(self) -> Any:
        """What the peer's loop gets in one of its turns."""
        if self.generator is None:
            self.generator = reading.read_message(self)
        message = next(self.generator)
        if message is not _NOP:
            # The loop begins a new one for each message.
            self.generator = None
        return message


def test_all_that_is_there_in_one_turn(pair: tuple[socket.socket, Any]) -> None:
    theirs, made = pair
    assert made.turn() is _NOP
    theirs.sendall((wire.message(wire.UPDATE, ONE) + wire.message(wire.UPDATE, TWO)) * 3)
    message = made.turn()
    assert (message.TYPE, message.nlris) == (Update.TYPE, [])
    assert len(made.pipe.written) == 1
    assert made.peer.stats["receive-update"] == 6
    assert made.turn() is _NOP


def test_other_messages_come_at_their_place(pair: tuple[socket.socket, Any]) -> None:
    theirs, made = pair
    update, keepalive = wire.message(wire.UPDATE, ONE), wire.message(wire.KEEPALIVE)
    theirs.sendall(update + keepalive + wire.route_refresh() + update + update)
    kinds = [made.turn().TYPE for _ in range(4)]
    assert kinds == [Update.TYPE, KeepAlive.TYPE, RouteRefresh.TYPE, Update.TYPE]
    assert made.turn() is _NOP
    assert [len(data.splitlines()) for data in made.pipe.written] == [1, 1]


def test_byte_by_byte(pair: tuple[socket.socket, Any]) -> None:
    theirs, made = pair
    for byte in wire.message(wire.UPDATE, ONE) + wire.message(wire.KEEPALIVE):
        assert not made.pipe.written or made.turn() is _NOP
        theirs.send(bytes((byte,)))
        message = made.turn()
    assert message.TYPE == KeepAlive.TYPE
    assert made.pipe.lines() == handed_over(AGREED, ONE)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([ONE, TWO, None, body(GOOD)]), max_size=8),
    st.lists(st.integers(1, 200), min_size=1),
)
def test_any_division_of_the_stream(bodies: list[bytes | None], sizes: list[int]) -> None:
    """The same messages, the same prefixes; `None` is a KEEPALIVE, one UPDATE is left to ExaBGP."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    with theirs, ours:
        made = Wired(ours)
        stream = b"".join(
            wire.message(wire.KEEPALIVE) if data is None else wire.message(wire.UPDATE, data)
            for data in bodies
        )
        keepalives = 0
        for number in range(len(stream)):
            piece, stream = stream[: sizes[number % len(sizes)]], stream[sizes[number % len(sizes)] :]
            theirs.sendall(piece) if piece else None
            while (message := made.turn()) is not _NOP:
                keepalives += message.TYPE == KeepAlive.TYPE
            if not stream:
                break
        assert keepalives == bodies.count(None)
        assert made.peer.stats["receive-update"] == len(bodies) - bodies.count(None)


def test_the_last_words_before_the_end(pair: tuple[socket.socket, Any]) -> None:
    theirs, made = pair
    theirs.sendall(wire.message(wire.UPDATE, ONE) + wire.notification(6, 2))
    theirs.close()
    assert made.turn().TYPE == Update.TYPE
    with pytest.raises(Message.klass(3)) as told:
        made.turn()
    assert (told.value.code, told.value.subcode) == (6, 2)
    with pytest.raises(LostConnection, match="closed by the remote end"):
        next(reading.read_message(made))
    with pytest.raises(NotConnected):
        next(reading.read_message(made))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0" * 19, (1, 1)),
        (wire.MARKER + b"\0\x05\2", (1, 2)),
        (wire.MARKER + b"\x10\x01\2", (1, 2)),
        (wire.message(wire.UPDATE, body(GOOD, wire.nlri("20.0.0.0/24") * 1020)), (1, 2)),
        (wire.MARKER + b"\0\x14\2\0", (1, 2)),
        (wire.MARKER + b"\0\x13\x09", (1, 3)),
        (wire.message(wire.UPDATE, body(GOOD, b"\x21\1\2\3\4\5")), (3, 10)),
        (wire.message(wire.UPDATE, b"\0\0\xff\xff"), (3, 1)),
    ],
    ids=[
        "no marker",
        "too small",
        "too large",
        "too large and whole",
        "small for an UPDATE",
        "no type",
        "length 33",
        "runs over",
    ],
)
def test_what_ends_the_session_does_so_behind_what_was_right(
    data: bytes, code: tuple[int, int], pair: tuple[socket.socket, Any]
) -> None:
    theirs, made = pair
    theirs.sendall(wire.message(wire.UPDATE, ONE) + data)
    assert made.turn().TYPE == Update.TYPE
    assert made.pipe.lines() == handed_over(AGREED, ONE)
    with pytest.raises(Notify) as notify:
        made.turn()
    assert (notify.value.code, notify.value.subcode) == code


class Failing:
    """A socket whose connection broke."""

    def __init__(self, error: OSError) -> None:
        self.error = error
        self.closed = False

    def recv(self, _: int) -> bytes:
        raise self.error

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("number", "expected", "closed"),
    [
        (errno.ECONNRESET, LostConnection, True),
        (errno.ETIMEDOUT, TooSlowError, True),
        (errno.EPERM, NetworkError, False),
    ],
)
def test_errors_of_the_connection(number: int, expected: type[Exception], closed: bool) -> None:
    io = Failing(OSError(number, "broken"))
    made = protocol(AGREED, io)
    with pytest.raises(expected):
        next(reading.read_message(made))
    assert io.closed is closed


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINTR, errno.ENOBUFS])
def test_errors_that_pass(number: int) -> None:
    made = protocol(AGREED, Failing(OSError(number, "later")))
    assert next(reading.read_message(made)) is _NOP


def test_before_the_session_is_up_nothing_is_handed_over(pair: tuple[socket.socket, Any]) -> None:
    theirs, made = pair
    made.peer.established = lambda: False
    theirs.sendall(wire.message(wire.KEEPALIVE) + wire.message(wire.UPDATE, ONE))
    assert made.turn().TYPE == KeepAlive.TYPE
    assert made.turn().TYPE == Update.TYPE
    assert not made.pipe.written


def test_a_helper_that_is_gone_costs_its_lines_and_no_session(pair: tuple[socket.socket, Any]) -> None:
    theirs, made = pair
    made.pipe.broken = True
    theirs.sendall(wire.message(wire.UPDATE, ONE))
    assert made.turn().TYPE == Update.TYPE
    made.pipe.broken = False
    theirs.sendall(wire.message(wire.UPDATE, ONE))
    assert made.turn().TYPE == Update.TYPE
    # The next one's counter tells that one is missing.
    assert [line.split()[1] for line in made.pipe.lines()] == [b"2"]


def test_a_speaker_that_ends_says_no_more(pair: tuple[socket.socket, Any]) -> None:
    theirs, made = pair
    made.peer.reactor.processes.silence = True
    theirs.sendall(wire.message(wire.UPDATE, ONE))
    assert made.turn().TYPE == Update.TYPE
    assert not made.pipe.written
