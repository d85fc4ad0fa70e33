"""A NETLINK_ROUTE socket: its options, exchanges of a request and its answer, whole dumps."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable

from bgpsvc.fib.codec import Batch
from bgpsvc.fib.wire import (
    NLM_F_ACK,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Acknowledgement,
    Message,
    acknowledgement,
    dump_end,
    message_at,
    messages,
)

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 10, 11, 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_RECEIVE_BYTES = 1 << 16  # the kernel's dumps come in pieces of up to 32 KiB
_SEND_BUFFER, _RECEIVE_BUFFER = 1 << 20, 8 << 20
_ANSWER_TIMEOUT_S = 30

DUMP_ATTEMPTS = 5
"""A dump during which the kernel's tables changed is taken again, this many times at the most."""


def open_socket(receive_buffer: int = _RECEIVE_BUFFER) -> socket.socket:
    """A bound socket in the caller's network namespace, with large buffers as far as one may have them."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        opened.bind((0, 0))
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            opened.setsockopt(_SOL_NETLINK, option, 1)
        _set_buffer(opened, _SO_SNDBUFFORCE, socket.SO_SNDBUF, _SEND_BUFFER)
        _set_buffer(opened, _SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer)
    except OSError:
        opened.close()
        raise
    return opened


def _set_buffer(opened: socket.socket, forced: int, plain: int, size: int) -> None:
    """Beyond the system's limit if the capability is there (it is not in a user namespace), else up to it."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, plain, size)


class Requester:
    """Sends requests and reads their answers. Not for two threads at once.

    The kernel works through a datagram before sendmsg returns, so an answer is there at once; the
    receive timeout only keeps a kernel that breaks this rule from hanging the process.
    """

    def __init__(self) -> None:
        self.socket = open_socket()
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_TIMEOUT_S, 0)
        )
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._seq = 0

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    @property
    def port_id(self) -> int:
        """The socket's address, which the kernel puts into notifications of what it did for us."""
        port: int = self.socket.getsockname()[0]
        return port

    def next_seq(self, count: int = 1) -> int:
        """The first of `count` sequence numbers in a row, never 0 (the kernel's own messages)."""
        if self._seq + count >= 1 << 32:
            self._seq = 0
        first = self._seq + 1
        self._seq += count
        return first

    def send(self, batch: Batch) -> list[Acknowledgement]:
        """Send a batch and return its errors, in order. OSError if the kernel does not take or answer it."""
        try:
            self.socket.send(batch.data)
            return [answer for answer in self._answers(batch.first_seq, batch.last_seq) if answer.errno]
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
        return self._send_one_by_one(batch)

    def request(self, packed: bytes, seq: int) -> Acknowledgement:
        """Send one message that asks for an acknowledgement and return it."""
        self.socket.send(packed)
        return self._answers(seq, seq)[-1]

    def _send_one_by_one(self, batch: Batch) -> list[Acknowledgement]:
        """More errors than the receive buffer holds: again, one message at a time (they are idempotent)."""
        self._drain()
        errors = []
        for message in messages(memoryview(batch.data)):
            start = message.end - len(message.payload) - 16
            single = bytearray(batch.data[start : message.end])
            single[6] |= NLM_F_ACK
            self.socket.send(single)
            errors += [answer for answer in self._answers(message.seq, message.seq) if answer.errno]
        return errors

    def _answers(self, first: int, last: int) -> list[Acknowledgement]:
        """Acknowledgements of a range of sequence numbers, up to that of the last one."""
        found: list[Acknowledgement] = []
        while True:
            for message in messages(self._receive()):
                if message.type != NLMSG_ERROR or not first <= message.seq <= last:
                    continue
                found.append(acknowledgement(message))
                if message.seq == last:
                    return found

    def _receive(self) -> memoryview:
        """One datagram. It lies in the common buffer: valid until the next one."""
        try:
            size = self.socket.recv_into(self._buffer)
        except BlockingIOError as error:
            raise OSError(errno.ETIMEDOUT, f"the kernel did not answer in {_ANSWER_TIMEOUT_S} s") from error
        return memoryview(self._buffer)[:size]

    def _drain(self) -> None:
        while True:
            try:
                self.socket.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def dump(
        self,
        packed: bytes,
        seq: int,
        each: Callable[[Message], None],
        bulk: Callable[[memoryview, int], int] | None = None,
    ) -> bool:
        """Send a dump request and hand over its messages; True if the kernel says that it is consistent.

        `bulk` may take in messages from an offset on and returns where it stopped. OSError with the
        kernel's errno and text if the dump is refused.
        """
        self.socket.send(packed)
        consistent = True
        while True:
            data = self._receive()
            offset = 0
            while offset < len(data):
                if bulk is not None and (offset := bulk(data, offset)) == len(data):
                    break
                message = message_at(data, offset)
                offset = message.end
                if message.seq != seq:
                    continue  # left over from a dump that was given up
                consistent = consistent and not message.flags & NLM_F_DUMP_INTR
                if message.type == NLMSG_ERROR:
                    answer = acknowledgement(message)
                    raise OSError(answer.errno, answer.text or os.strerror(answer.errno))
                if message.type == NLMSG_DONE:
                    if code := dump_end(message):
                        raise OSError(code, os.strerror(code))
                    return consistent
                each(message)
