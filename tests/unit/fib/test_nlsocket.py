"""Exchanges with a peer that plays the kernel badly: what a healthy one never shows."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from bgpsvc.fib import codec
from bgpsvc.fib.nlsocket import Requester
from bgpsvc.fib.ops import NEXTHOP_IDS, DeleteNexthop
from bgpsvc.fib.wire import NLMSG_DONE, NLMSG_ERROR, Message, request

INTERRUPTED = 0x10
OPS = [DeleteNexthop(NEXTHOP_IDS.start + i) for i in range(3)]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Requester, socket.socket]]:
    """A requester, and the other end of its socket."""
    requester = Requester()
    requester.close()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 20_000))
        monkeypatch.setattr(requester, "socket", ours)
        yield requester, theirs


def error(seq: int, code: int) -> bytes:
    return request(NLMSG_ERROR, 0x100, seq, struct.pack("=iIHHII", -code, 16, 0, 0, seq, 0))


def done(seq: int, flags: int = 0, code: int = 0) -> bytes:
    return request(NLMSG_DONE, flags, seq, struct.pack("=i", -code))


def dump(requester: Requester, seq: int = 1) -> tuple[bool, list[Message]]:
    found: list[Message] = []
    return requester.dump(b"ask", seq, found.append), found


def test_errors_of_other_batches_are_left_alone(kernel: tuple[Requester, socket.socket]) -> None:
    requester, peer = kernel
    (batch,) = codec.batches(OPS, 10)
    peer.send(error(9, errno.EINVAL) + error(11, errno.EPERM))
    peer.send(error(12, 0) + error(12, errno.EINVAL))
    assert [(answer.seq, answer.errno) for answer in requester.send(batch)] == [(11, errno.EPERM)]


def test_no_answer_is_an_error_and_no_hang(kernel: tuple[Requester, socket.socket]) -> None:
    (batch,) = codec.batches(OPS, 10)
    with pytest.raises(OSError, match="did not answer") as caught:
        kernel[0].send(batch)
    assert caught.value.errno == errno.ETIMEDOUT


def test_a_dump_over_several_datagrams(kernel: tuple[Requester, socket.socket]) -> None:
    requester, peer = kernel
    peer.send(request(24, 2, 1, b"one!") + request(24, 2, 1, b"two!"))
    peer.send(request(24, 2, 7, b"old!"))
    peer.send(request(24, 2, 1, b"3333") + done(1))
    consistent, found = dump(requester)
    assert consistent
    assert [message.payload for message in found] == [b"one!", b"two!", b"3333"]


@pytest.mark.parametrize("where", ["row", "end"])
def test_an_interrupted_dump_says_so(kernel: tuple[Requester, socket.socket], where: str) -> None:
    requester, peer = kernel
    peer.send(request(24, 2 | (INTERRUPTED if where == "row" else 0), 1, b"one!"))
    peer.send(done(1, INTERRUPTED if where == "end" else 0))
    assert dump(requester)[0] is False


@pytest.mark.parametrize("answer", [error(1, errno.ENOENT), done(1, code=errno.ENOENT)])
def test_a_refused_dump_raises(kernel: tuple[Requester, socket.socket], answer: bytes) -> None:
    requester, peer = kernel
    peer.send(answer)
    with pytest.raises(OSError, match="No such file") as caught:
        dump(requester)
    assert caught.value.errno == errno.ENOENT


def test_sequence_numbers_start_over_before_they_run_out(kernel: tuple[Requester, socket.socket]) -> None:
    requester, _ = kernel
    assert requester.next_seq((1 << 32) - 10) == 1
    assert requester.next_seq(9) == (1 << 32) - 9
    assert requester.next_seq() == 1
    assert requester.next_seq(5) == 2
    assert requester.next_seq() == 7
