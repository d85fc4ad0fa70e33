"""The kernel alone: the same networks by raw batched netlink over one nexthop object, the limit for all."""

from __future__ import annotations

import os
import socket
import struct
import time

from tests.bench.namespace import Namespace
from tests.bench.networks import Family

RTM_NEWROUTE, RTM_NEWNEXTHOP = 24, 104
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 0x1, 0x4, 0x400
RTA_DST, RTA_NH_ID = 1, 30
NHA_ID, NHA_OIF, NHA_GATEWAY = 1, 5, 6
PROTOCOL, MAIN = 186, 254
ROUTES_PER_SEND = 500


def install(namespace: Namespace, link: str, gateway: str, family: Family, count: int) -> float:
    """Installs the first `count` networks; the seconds from the first message to the last ACK.

    Messages are encoded beforehand.
    """
    index = int(namespace.run("ip", "-o", "link", "show", link).split(":", 1)[0])
    with namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        hop = socket.inet_pton(family.number, gateway)
        nexthop = struct.pack("=BBBBI", family.number, 0, PROTOCOL, 0, 0)
        nexthop += struct.pack("=HHI", 8, NHA_ID, 1) + struct.pack("=HHI", 8, NHA_OIF, index)
        nexthop += struct.pack("=HH", 4 + len(hop), NHA_GATEWAY) + hop
        _request(netlink, [_message(RTM_NEWNEXTHOP, nexthop)])
        route = struct.pack("=BBBBBBBBI", family.number, family.length, 0, 0, MAIN, PROTOCOL, 0, 1, 0)
        route += struct.pack("=HHIHH", 8, RTA_NH_ID, 1, 4 + family.size, RTA_DST)
        encoded = [_message(RTM_NEWROUTE, route + family.address(number)) for number in range(count)]
        started = time.monotonic()
        for start in range(0, count, ROUTES_PER_SEND):
            _request(netlink, encoded[start : start + ROUTES_PER_SEND])
        return time.monotonic() - started


def _message(kind: int, body: bytes) -> bytes:
    """A netlink message without the ACK flag and without a sequence number."""
    return struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_CREATE, 1, 0) + body


def _request(netlink: socket.socket, messages: list[bytes]) -> None:
    """Sends messages in one datagram, waits for the ACK of the last; OSError if the kernel refuses one."""
    last = messages[-1]
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK
    netlink.send(b"".join(messages[:-1]) + last[:6] + struct.pack("=H", flags) + last[8:])
    error = -struct.unpack_from("=i", netlink.recv(65536), 16)[0]
    if error:
        raise OSError(error, os.strerror(error))
