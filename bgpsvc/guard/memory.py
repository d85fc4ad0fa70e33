"""What keeper and worker share, and what a worker leaves to the one after it.

All of it lives in memory files that have no name and are gone with the last process of the guard. A head,
mapped by both, holds single numbers, each written in one store. The rest is records of any length: each
has two places and a sequence number; a write goes to the older place, and a place counts only if its
checksum is right. So a worker that is killed in the middle of a write leaves the record before it.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any

_HEAD = 4096
_FLOAT, _INTEGER = struct.Struct("=d"), struct.Struct("=q")
_PLACE = struct.Struct("=QII")  # sequence number, length, checksum of both and of what follows
_RECORD_BYTES = 2048
"""Of each of the two places of a tunnel's record."""


class _Number:
    """A number in the head."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def __get__(self, owner: Memory, _: type) -> int:
        value: int = _INTEGER.unpack_from(owner.head, self._offset)[0]
        return value

    def __set__(self, owner: Memory, value: int) -> None:
        _INTEGER.pack_into(owner.head, self._offset, value)


class _Time:
    """Seconds in the head."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def __get__(self, owner: Memory, _: type) -> float:
        value: float = _FLOAT.unpack_from(owner.head, self._offset)[0]
        return value

    def __set__(self, owner: Memory, value: float) -> None:
        _FLOAT.pack_into(owner.head, self._offset, value)


class Memory:
    """Made once, before the first fork; every process of the guard has it."""

    promise = _Time(0)
    """When the worker will be at work again at the latest: past that by `patience`, it hangs."""
    patience = _Time(8)
    keeper_promise = _Time(16)
    since = _Time(24)
    takeovers = _Number(32)
    quitting = _Number(40)
    """The guard is to end: nobody is to go on."""
    worker = _Number(48)
    """Process ids of both."""
    keeper = _Number(56)

    def __init__(self) -> None:
        self.head = mmap.mmap(-1, _HEAD)
        self.orders = Blob()
        self.tunnels = Records()

    def clear(self) -> None:
        """Leave nothing to the next worker."""
        self.orders.clear()
        self.tunnels.clear()


class Blob:
    """One record of any length: a JSON value. Whoever writes has read before."""

    def __init__(self) -> None:
        self._places = tuple(os.memfd_create(f"bgpsvc-guard-{n}", os.MFD_CLOEXEC) for n in range(2))
        self._seq = 0

    def write(self, value: Any) -> None:
        """Replace it."""
        self._seq += 1
        data = _packed(self._seq, value)
        fd = self._places[self._seq % 2]
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))

    def read(self) -> Any:
        """What was written last and whole; None if nothing was."""
        self._seq, value = _latest([_read(fd, 0, os.fstat(fd).st_size) for fd in self._places])
        return value

    def clear(self) -> None:
        """Forget it."""
        for fd in self._places:
            os.ftruncate(fd, 0)
        self._seq = 0


class Records:
    """Records by number, JSON values of at most about two kilobytes. Whoever writes has read before."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("bgpsvc-guard-tunnels", os.MFD_CLOEXEC)
        self._seqs: dict[int, int] = {}

    def write(self, index: int, value: Any) -> None:
        """Replace a record. ValueError if it is too long."""
        seq = self._seqs.get(index, 0) + 1
        data = _packed(seq, value)
        if len(data) > _RECORD_BYTES:
            raise ValueError(f"a record of {len(data)} bytes; {_RECORD_BYTES} are the most")
        os.pwrite(self._fd, data, (2 * index + seq % 2) * _RECORD_BYTES)
        self._seqs[index] = seq

    def read(self) -> Iterator[tuple[int, Any]]:
        """All records that are not None, with their numbers."""
        for index in range(-(-os.fstat(self._fd).st_size // (2 * _RECORD_BYTES))):
            seq, value = _latest(self._both(index))
            self._seqs[index] = seq
            if value is not None:
                yield index, value

    def clear(self) -> None:
        """Forget them all."""
        os.ftruncate(self._fd, 0)
        self._seqs.clear()

    def _both(self, index: int) -> list[tuple[int, Any]]:
        return [_read(self._fd, (2 * index + place) * _RECORD_BYTES, _RECORD_BYTES) for place in range(2)]


def _packed(seq: int, value: Any) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    length = len(body)
    return _PLACE.pack(seq, length, _checksum(seq, body)) + body


def _checksum(seq: int, body: bytes) -> int:
    return zlib.crc32(body, seq & 0xFFFFFFFF)


def _read(fd: int, offset: int, size: int) -> tuple[int, Any]:
    """Sequence number and value of a place; (0, None) if nothing, or nothing whole, is there."""
    data = os.pread(fd, size, offset)
    if len(data) < _PLACE.size:
        return 0, None
    seq, length, checksum = _PLACE.unpack_from(data)
    body = data[_PLACE.size : _PLACE.size + length]
    if len(body) < length or _checksum(seq, body) != checksum or not length:
        return 0, None
    return seq, json.loads(body)


def _latest(places: list[tuple[int, Any]]) -> tuple[int, Any]:
    return max(places, key=lambda place: place[0])
