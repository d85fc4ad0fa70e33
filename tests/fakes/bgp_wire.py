"""BGP messages as bytes, written by hand from the RFCs so that tests do not trust the code under test.

Sizes and layouts: RFC 4271 4 (messages), RFC 5492 (capabilities), RFC 4760 (MP_REACH/MP_UNREACH),
RFC 2918 and RFC 7313 (ROUTE-REFRESH), RFC 4724 (graceful restart), RFC 6793 (4-octet AS numbers).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = 1, 2, 3, 4, 5
AFI = {"ipv4": 1, "ipv6": 2}
AFI_NAMES = {1: "ipv4", 2: "ipv6"}
MAX_MESSAGE = 4096


def message(kind: int, body: bytes = b"") -> bytes:
    """A whole message with its header."""
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def capability(code: int, value: bytes = b"") -> bytes:
    return bytes((code, len(value))) + value


def open_message(
    asn: int,
    hold_time: int,
    router_id: str,
    families: Sequence[str] = ("ipv4",),
    graceful_restart: int | None = None,
    refresh: bool = True,
    enhanced_refresh: bool = True,
    asn4: bool = True,
) -> bytes:
    """OPEN with the usual capabilities; `graceful_restart` in seconds, None leaves it out."""
    capabilities = b"".join(capability(1, struct.pack("!HBB", AFI[family], 0, 1)) for family in families)
    if refresh:
        capabilities += capability(2)
    if enhanced_refresh:
        capabilities += capability(70)
    if asn4:
        capabilities += capability(65, struct.pack("!L", asn))
    if graceful_restart is not None:
        flags = b"".join(struct.pack("!HBB", AFI[family], 1, 0x80) for family in families)
        capabilities += capability(64, struct.pack("!H", graceful_restart) + flags)
    parameters = bytes((2, len(capabilities))) + capabilities
    body = struct.pack("!BHH", 4, asn if asn < 65536 else 23456, hold_time) + socket.inet_aton(router_id)
    return message(OPEN, body + bytes((len(parameters),)) + parameters)


def nlri(prefix: str) -> bytes:
    """One prefix as in RFC 4271 4.3: length, then as few bytes as it needs."""
    address, _, length = prefix.partition("/")
    bits = int(length)
    # A table of 100,000 prefixes is made in a tenth of the time that the ipaddress module takes.
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    return bytes((bits,)) + packed[: (bits + 7) // 8]


def attribute(flags: int, code: int, value: bytes) -> bytes:
    if len(value) > 255:
        return struct.pack("!BBH", flags | 0x10, code, len(value)) + value
    return bytes((flags, code, len(value))) + value


def attributes(
    as_path: Sequence[int] = (),
    next_hop: str | None = None,
    origin: int | None = 0,
    med: int | None = None,
    local_pref: int | None = None,
    communities: Sequence[tuple[int, int]] = (),
    extra: bytes = b"",
) -> bytes:
    """Path attributes in order of their codes; AS numbers take four octets. `extra` is appended as it is."""
    packed = b""
    if origin is not None:
        packed += attribute(0x40, 1, bytes((origin,)))
    segment = bytes((2, len(as_path))) + struct.pack(f"!{len(as_path)}L", *as_path) if as_path else b""
    packed += attribute(0x40, 2, segment)
    if next_hop is not None:
        packed += attribute(0x40, 3, socket.inet_aton(next_hop))
    if med is not None:
        packed += attribute(0x80, 4, struct.pack("!L", med))
    if local_pref is not None:
        packed += attribute(0x40, 5, struct.pack("!L", local_pref))
    if communities:
        packed += attribute(0xC0, 8, b"".join(struct.pack("!HH", *community) for community in communities))
    return packed + extra


def mp_reach(next_hop: str, prefixes: Iterable[str]) -> bytes:
    """MP_REACH_NLRI for IPv6 unicast (RFC 4760 3)."""
    hop = socket.inet_pton(socket.AF_INET6, next_hop)
    value = struct.pack("!HBB", 2, 1, len(hop)) + hop + b"\0" + b"".join(map(nlri, prefixes))
    return attribute(0x80, 14, value)


def mp_unreach(prefixes: Iterable[str]) -> bytes:
    """MP_UNREACH_NLRI for IPv6 unicast (RFC 4760 4)."""
    return attribute(0x80, 15, struct.pack("!HB", 2, 1) + b"".join(map(nlri, prefixes)))


def update(attrs: bytes = b"", announced: Iterable[str] = (), withdrawn: Iterable[str] = ()) -> bytes:
    """One UPDATE; the caller keeps it within the 4096 bytes of RFC 4271."""
    gone = b"".join(map(nlri, withdrawn))
    body = struct.pack("!H", len(gone)) + gone + struct.pack("!H", len(attrs)) + attrs
    return message(UPDATE, body + b"".join(map(nlri, announced)))


def packed_updates(attrs: bytes, prefixes: Iterable[str]) -> bytes:
    """As few UPDATEs as hold all prefixes with the same attributes, concatenated."""
    room = MAX_MESSAGE - 19 - 4 - len(attrs)
    head = b"\0\0" + struct.pack("!H", len(attrs)) + attrs
    out, blob = [], b""
    for prefix in prefixes:
        packed = nlri(prefix)
        if len(blob) + len(packed) > room:
            out.append(message(UPDATE, head + blob))
            blob = b""
        blob += packed
    if blob:
        out.append(message(UPDATE, head + blob))
    return b"".join(out)


def end_of_rib(family: str = "ipv4") -> bytes:
    if family == "ipv4":
        return message(UPDATE, b"\0\0\0\0")
    return message(UPDATE, b"\0\0" + struct.pack("!H", 6) + attribute(0x80, 15, struct.pack("!HB", 2, 1)))


def route_refresh(family: str = "ipv4", subtype: int = 0) -> bytes:
    """subtype 0 asks, 1 begins, 2 ends (RFC 7313 3.2)."""
    return message(ROUTE_REFRESH, struct.pack("!HBB", AFI[family], subtype, 1))


def notification(code: int, subcode: int, data: bytes = b"") -> bytes:
    return message(NOTIFICATION, bytes((code, subcode)) + data)


@dataclass
class Received:
    """One received message, decoded as far as tests look."""

    kind: int
    body: bytes
    announced: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    attributes: dict[int, bytes] = field(default_factory=dict)
    end_of_rib: str | None = None
    refresh: tuple[str, int] | None = None


def decode(kind: int, body: bytes) -> Received:
    """A received message; prefixes of both families land in `announced` and `withdrawn`."""
    received = Received(kind, body)
    if kind == ROUTE_REFRESH:
        afi, subtype, _ = struct.unpack("!HBB", body)
        received.refresh = (AFI_NAMES[afi], subtype)
    if kind != UPDATE:
        return received
    (gone,) = struct.unpack_from("!H", body)
    (length,) = struct.unpack_from("!H", body, 2 + gone)
    attrs = body[4 + gone : 4 + gone + length]
    received.attributes = _attributes(attrs)
    received.withdrawn = _prefixes(body[2 : 2 + gone], 4)
    received.announced = _prefixes(body[4 + gone + length :], 4)
    if reach := received.attributes.get(14):
        received.announced += _prefixes(reach[5 + reach[3] :], 16)
    unreach = received.attributes.get(15)
    if unreach is not None:
        received.withdrawn += _prefixes(unreach[3:], 16)
    if body == b"\0\0\0\0":
        received.end_of_rib = "ipv4"
    elif unreach is not None and len(unreach) == 3 and len(received.attributes) == 1:
        received.end_of_rib = AFI_NAMES[struct.unpack_from("!H", unreach)[0]]
    return received


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        flags, code, length = data[0], data[1], data[2]
        head = 3
        if flags & 0x10:
            (length,) = struct.unpack_from("!H", data, 2)
            head = 4
        found[code] = data[head : head + length]
        data = data[head + length :]
    return found


def _prefixes(data: bytes, size: int) -> list[str]:
    found = []
    while data:
        length = data[0]
        count = (length + 7) // 8
        address = data[1 : 1 + count].ljust(size, b"\0")
        found.append(f"{ipaddress.ip_address(address)}/{length}")
        data = data[1 + count :]
    return found
