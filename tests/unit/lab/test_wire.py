"""What a packet on the wire is taken for."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from bgpsvc.lab.wire import Tally, examine, next_to_each_other

ONE, TWO = "198.51.100.1", "198.51.100.2"
INNER = ["10.0.0.10,192.168.0.10", "fd00:1::10,fd00:2::10"]
SPI = "c4a7e2d1"
ESP = bytes.fromhex(SPI) + bytes(40)


def ipv4(protocol: int, payload: bytes, source: str = ONE, destination: str = TWO, options: int = 0) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45 + options, 0, 0, 0, 0, 64, protocol, 0)
    return header + socket.inet_aton(source) + socket.inet_aton(destination) + bytes(options * 4) + payload


def udp(source: int, destination: int, data: bytes) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(data), 0) + data


@pytest.mark.parametrize(
    ("packet", "kind", "spi"),
    [
        (ipv4(17, udp(500, 500, bytes(28))), "ike", None),
        (ipv4(17, udp(4500, 4500, bytes(4) + bytes(28))), "ike", None),
        (ipv4(17, udp(4500, 4500, b"\xff")), "ike", None),
        (ipv4(17, udp(4500, 4500, ESP)), "esp", SPI),
        (ipv4(17, udp(4500, 4500, ESP), options=1), "esp", SPI),
        (ipv4(50, ESP), "esp", SPI),
        # Not the ports of IKE at both ends: a private port that nobody translated, for one.
        (ipv4(17, udp(14500, 4500, ESP)), "other", None),
        (ipv4(17, udp(10500, 500, bytes(28))), "other", None),
        (ipv4(17, udp(4789, 4789, ESP)), "other", None),
        (ipv4(17, udp(4500, 4500, b"\x01\x02")), "other", None),
        (ipv4(6, bytes(20)), "other", None),
        (ipv4(1, bytes(8)), "other", None),
    ],
)
def test_a_packet_is_known_by_protocol_ports_and_marker(packet: bytes, kind: str, spi: str | None) -> None:
    seen = examine(packet)
    assert (seen.kind, seen.spi) == (kind, spi)
    assert (seen.source, seen.destination) == (ONE, TWO)


@pytest.mark.parametrize("packet", [b"", bytes(40), b"\x60" + bytes(39), b"\x45" + bytes(10)])
def test_what_is_no_ipv4_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(ValueError, match="IPv4"):
        examine(packet)


def test_clear_text_is_found_wherever_it_is_hidden() -> None:
    tally = Tally(next_to_each_other(INNER))
    tally.add(ipv4(17, udp(4500, 4500, ESP)))
    tally.add(ipv4(17, udp(500, 500, bytes(28))))
    assert (tally.esp, tally.ike, tally.clear, tally.example) == (1, 1, 0, "")
    # An encapsulation that says it is ESP, and is none: the inner headers, either way, are to be seen.
    inner = ipv4(1, bytes(8), "192.168.0.10", "10.0.0.10")
    tally.add(ipv4(17, udp(4500, 4500, ESP + inner)))
    inner6 = b"\x60" + bytes(7) + b"".join(socket.inet_pton(socket.AF_INET6, a) for a in INNER[1].split(","))
    tally.add(ipv4(50, ESP + inner6))
    tally.add(ipv4(6, bytes(20)))
    assert (tally.esp, tally.ike, tally.clear) == (1, 1, 3)
    assert tally.example == f"UDP from {ONE} port 4500 to {TWO} port 4500"
    assert json.loads(tally.to_json())["spis"] == {f"{ONE} {TWO}": [SPI]}


@pytest.mark.parametrize(("source", "clear"), [("fe80::1", 0), ("::", 0), ("fd00:1::10", 1)])
def test_of_ipv6_only_what_links_say_to_themselves_is_no_clear_text(source: str, clear: int) -> None:
    tally = Tally(())
    tally.add6(b"\x60" + bytes(7) + socket.inet_pton(socket.AF_INET6, source) + bytes(16))
    assert tally.clear == clear
