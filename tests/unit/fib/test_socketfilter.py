"""The BPF program, run by the kernel on a pair of unix sockets: which datagrams come through."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection

import pytest

from bgpsvc.fib.socketfilter import program
from bgpsvc.fib.wire import HEADER, number

WRITER = 0x12345678
NEWLINK, NEWROUTE, DELROUTE, DELNEXTHOP = 16, 24, 25, 105


def passes(data: bytes, tables: Collection[int] = (1000,)) -> bool:
    code = program((WRITER,), tables)
    buffer = ctypes.create_string_buffer(code, len(code))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
        ours.setblocking(False)
        theirs.setblocking(False)
        theirs.send(data)
        theirs.send(message(NEWLINK, 0, bytes(16)))  # always comes through
        return ours.recv(1 << 20) == data


def message(kind: int, pid: int, payload: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(payload), kind, 0, 0, pid) + payload


def route(protocol: int, table: int | None, kind: int = NEWROUTE, pid: int = 5) -> bytes:
    payload = struct.pack("=8BI", 2, 8, 0, 0, 0, protocol, 0, 1, 0) + number(6, 1000)
    return message(kind, pid, payload + (number(15, table) if table is not None else b"") + number(30, 1))


def test_our_own_changes_are_dropped() -> None:
    assert not passes(route(201, 1000, pid=WRITER))
    assert not passes(message(DELNEXTHOP, WRITER, bytes(16)))


def test_changes_by_others_pass() -> None:
    assert passes(message(DELNEXTHOP, 5, bytes(16)))
    assert passes(message(NEWLINK, 0, bytes(32)))
    assert passes(message(DELNEXTHOP, int.from_bytes(WRITER.to_bytes(4, "little"), "big"), bytes(16)))


@pytest.mark.parametrize("kind", [NEWROUTE, DELROUTE])
def test_routes_pass_by_protocol_or_table(kind: int) -> None:
    assert passes(route(201, 7, kind))
    assert passes(route(4, 1000, kind))
    assert not passes(route(4, 254, kind))
    assert not passes(route(4, None, kind))
    assert not passes(route(4, 1000, kind), tables=())


def test_tables_of_our_own_numbers_need_not_be_named() -> None:
    assert passes(route(4, 0x20000000), ())
    assert passes(route(4, 0x2FFFFFFF), ())
    assert not passes(route(4, 0x1FFFFFFF), ())
    assert not passes(route(4, 0x30000000), ())
    assert not passes(route(4, 0x20), ())


def test_large_and_many_tables() -> None:
    tables = [70000, *range(1, 240)]
    assert passes(route(4, 70000), tables)
    assert passes(route(4, 239), tables)
    assert not passes(route(4, 240), tables)
    assert not passes(route(4, 70000 & 0xFFFF), [70000])


def test_more_tables_than_a_program_can_tell_apart() -> None:
    tables = range(1000, 6000)
    assert passes(route(4, 1000), tables)
    assert passes(route(4, 7000), tables), "to be on the safe side"
    assert not passes(route(4, 254), tables)
    assert not passes(route(4, 255, DELROUTE), tables)
    assert len(program((WRITER,), tables)) <= len(program((WRITER,), range(1000, 1250)))


def test_several_messages_pass_whatever_the_first_is() -> None:
    first, second = route(201, 1000, pid=WRITER), route(201, 1000)
    assert passes(first + second)
    assert passes(first * 2000)
