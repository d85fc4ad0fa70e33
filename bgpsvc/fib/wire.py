"""Framing of netlink messages (RFC 3549): headers, attributes, errors. Bytes in, values out.

A datagram holds messages, each a 16-byte header and a payload padded to four bytes; a payload is a
fixed struct and then attributes (length, type, value, padding). All numbers are in host order.
Everything that reads checks lengths first and moves forward by at least a header, so that garbage
ends in `NetlinkDecodeError` and never in a loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
_U32 = struct.Struct("=I")

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_CAPPED = 0x100  # of an error: only the header of the request is quoted
NLM_F_ACK_TLVS = 0x200  # of an error: attributes follow
NLM_F_REPLACE = 0x100
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300

_NLMSGERR_ATTR_MSG = 1
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


class NetlinkDecodeError(ValueError):
    """Bytes that are not what the kernel sends: truncated, or lengths that contradict each other."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `end` is the offset of the next one in the buffer it was read from."""

    type: int
    flags: int
    seq: int
    pid: int
    payload: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """NLMSG_ERROR: the request's sequence number, errno (0: done) and the kernel's words, perhaps empty."""

    seq: int
    errno: int
    text: str


def message_at(data: bytes | memoryview, offset: int) -> Message:
    """The message that starts at the offset; NetlinkDecodeError if it is not all there."""
    if offset < 0 or len(data) - offset < HEADER.size:
        raise NetlinkDecodeError(f"{len(data) - offset} bytes are too short for a message header")
    length, kind, flags, seq, pid = HEADER.unpack_from(data, offset)
    if length < HEADER.size or length > len(data) - offset:
        raise NetlinkDecodeError(f"message length {length} with {len(data) - offset} bytes left")
    end = min(offset + (length + 3 & ~3), len(data))
    return Message(kind, flags, seq, pid, bytes(data[offset + HEADER.size : offset + length]), end)


def messages(data: bytes | memoryview) -> Iterator[Message]:
    """All messages of a datagram, in order."""
    offset = 0
    while offset < len(data):
        message = message_at(data, offset)
        yield message
        offset = message.end


def attributes(payload: bytes, offset: int) -> dict[int, bytes]:
    """Attributes from an offset on: type (without flags) to value; the last wins if one is repeated."""
    if len(payload) < offset:
        raise NetlinkDecodeError(f"payload of {len(payload)} bytes is shorter than its struct of {offset}")
    found: dict[int, bytes] = {}
    while len(payload) - offset >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(payload, offset)
        if length < ATTRIBUTE.size or length > len(payload) - offset:
            raise NetlinkDecodeError(f"attribute {kind} of length {length} with {len(payload) - offset} left")
        found[kind & _TYPE_MASK] = payload[offset + ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found


def u32(value: bytes) -> int:
    """A 32-bit attribute value."""
    if len(value) != _U32.size:
        raise NetlinkDecodeError(f"a number of 4 bytes is expected, these are {len(value)}")
    number: int = _U32.unpack(value)[0]
    return number


def acknowledgement(message: Message) -> Acknowledgement:
    """Read an NLMSG_ERROR, with the text of an extended acknowledgement if there is one."""
    payload = message.payload
    if len(payload) < _ERRNO.size + HEADER.size:
        raise NetlinkDecodeError(f"error message of {len(payload)} bytes")
    errno = -_ERRNO.unpack_from(payload)[0]
    text = ""
    if message.flags & NLM_F_ACK_TLVS:
        quoted = HEADER.unpack_from(payload, _ERRNO.size)[0]
        offset = _ERRNO.size + (HEADER.size if message.flags & NLM_F_CAPPED else quoted + 3 & ~3)
        text = attributes(payload, offset).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(errors="replace")
    return Acknowledgement(message.seq, errno, text)


def dump_end(message: Message) -> int:
    """Errno of an NLMSG_DONE: 0 for a dump that is complete."""
    if len(message.payload) < _ERRNO.size:
        return 0
    errno: int = -_ERRNO.unpack_from(message.payload)[0]
    return errno


def attribute(kind: int, value: bytes) -> bytes:
    """Pack an attribute with its padding."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    """Pack a 32-bit attribute."""
    return attribute(kind, _U32.pack(value))


def request(kind: int, flags: int, seq: int, payload: bytes) -> bytes:
    """Pack a message to the kernel; the kernel fills in our port id."""
    return HEADER.pack(HEADER.size + len(payload), kind, flags | NLM_F_REQUEST, seq, 0) + payload
