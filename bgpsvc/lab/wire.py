"""Runs in a host of the lab: listens on its links for a while and prints what came in over them.

    wire --seconds SECONDS [--link NAME] [--inner SOURCE,DESTINATION ...]

One JSON object: `{"ike": N, "esp": N, "clear": N, "example": TEXT, "spis": {"SOURCE DESTINATION": [SPI]}}`.
A packet is `clear` if the addresses of an inner packet (`--inner`, either way) stand next to each other
anywhere in it, as in the header of a packet that nobody encrypted; or if it is neither IKE nor ESP.
`example` is the first of those.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
_PACKET_OUTGOING = 4  # <linux/if_packet.h>
_UDP, _ESP = 17, 50
_IKE_PORT, _NAT_PORT = 500, 4500
_NON_ESP_MARKER = bytes(4)  # RFC 3948 2.2
_NAT_KEEPALIVE = b"\xff"  # RFC 3948 2.3
_LARGEST = 65535

Kind = Literal["ike", "esp", "other"]


@dataclass(frozen=True, slots=True)
class Packet:
    """What can be seen of an IPv4 packet from outside; `spi` of ESP: 8 hexadecimal digits."""

    kind: Kind
    source: str
    destination: str
    text: str
    spi: str | None = None


def examine(packet: bytes) -> Packet:
    """What an IPv4 packet is: IKE, ESP (in UDP or not), or something else. ValueError if it is none."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        raise ValueError("no IPv4 header")
    protocol, payload = packet[9], packet[(packet[0] & 15) * 4 :]
    source, destination = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    text = f"protocol {protocol} from {source} to {destination}"
    kind: Kind = "other"
    spi = None
    if protocol == _ESP and len(payload) >= 8:
        kind, spi = "esp", payload[:4].hex()
    elif protocol == _UDP and len(payload) >= 8:
        ports, data = struct.unpack_from("!HH", payload), payload[8:]
        text = f"UDP from {source} port {ports[0]} to {destination} port {ports[1]}"
        if ports == (_IKE_PORT, _IKE_PORT) or (_both(ports, _NAT_PORT) and _is_ike(data)):
            kind = "ike"
        elif _both(ports, _NAT_PORT) and len(data) >= 8:
            kind, spi = "esp", data[:4].hex()
    return Packet(kind, source, destination, text, spi)


def _both(ports: Iterable[int], number: int) -> bool:
    return all(port == number for port in ports)


def _is_ike(data: bytes) -> bool:
    """On the port that IKE and ESP share (RFC 3948 2): a marker is no SPI, a keepalive is neither."""
    return data.startswith(_NON_ESP_MARKER) or data == _NAT_KEEPALIVE


@dataclass(slots=True)
class Tally:
    """Counts packets. `inner`: addresses that stand next to each other in the header of an inner packet."""

    inner: tuple[bytes, ...]
    ike: int = 0
    esp: int = 0
    clear: int = 0
    example: str = ""
    spis: dict[str, set[str]] = field(default_factory=dict)

    def add(self, packet: bytes) -> None:
        """Counts an IPv4 packet."""
        seen = examine(packet)
        if seen.kind == "other" or any(addresses in packet for addresses in self.inner):
            self.clear += 1
            self.example = self.example or seen.text
        elif seen.kind == "ike":
            self.ike += 1
        else:
            self.esp += 1
            self.spis.setdefault(f"{seen.source} {seen.destination}", set()).add(str(seen.spi))

    def add6(self, packet: bytes) -> None:
        """An IPv6 packet. The public addresses are IPv4: what is of no link's own business is clear text."""
        source = packet[8:24]
        if source[:2] != b"\xfe\x80" and any(source):
            self.clear += 1
            self.example = self.example or f"IPv6 from {socket.inet_ntop(socket.AF_INET6, source)}"

    def to_json(self) -> str:
        """As the program prints it."""
        spis = {pair: sorted(found) for pair, found in self.spis.items()}
        return json.dumps(
            {"ike": self.ike, "esp": self.esp, "clear": self.clear, "example": self.example, "spis": spis}
        )


def next_to_each_other(pairs: Iterable[str]) -> tuple[bytes, ...]:
    """`SOURCE,DESTINATION` (of one family) as both directions' headers have them."""
    found = []
    for pair in pairs:
        first, second = (
            socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
            for text in pair.split(",")
        )
        found += [first + second, second + first]
    return tuple(found)


def listen(tally: Tally, seconds: float, link_name: str = "") -> None:
    """Counts what arrives on a link of this namespace, by default on any, each packet once."""
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as link:
        if link_name:
            link.bind((link_name, _ETH_P_ALL))
        while (left := end - time.monotonic()) > 0:
            link.settimeout(left)
            try:
                packet, where = link.recvfrom(_LARGEST)
            except TimeoutError:
                return
            if where[2] == _PACKET_OUTGOING:
                continue  # it was seen when it came in
            if where[1] == _ETH_P_IP:
                tally.add(packet)
            elif where[1] == _ETH_P_IPV6:
                tally.add6(packet)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="wire")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--link", default="")
    parser.add_argument("--inner", action="append", default=[])
    options = parser.parse_args()
    tally = Tally(next_to_each_other(options.inner))
    listen(tally, options.seconds, options.link)
    print(tally.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
