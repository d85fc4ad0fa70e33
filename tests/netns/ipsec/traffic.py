"""Packets that prove something: pings without a gap, what is on a wire, the MSS of SYNs."""

from __future__ import annotations

import re
import select
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.netns.ipsec.node import SLOW
from tests.netns.namespaces import Namespace, wait_until

_ETH_P_ALL = 0x0003
_TCP, _UDP = 6, 17


@dataclass
class Pings:
    """Sequence numbers of the answers that came, from 1."""

    answered: list[int] = field(default_factory=list)

    @property
    def lost(self) -> set[int]:
        """Those that did not come, before the last that did."""
        return set(range(1, max(self.answered, default=0))) - set(self.answered)

    def wait_more(self, number: int) -> None:
        """Until that many more were answered."""
        wished = len(self.answered) + number
        wait_until(lambda: len(self.answered) >= wished, f"{number} more answers", SLOW)


@contextmanager
def pinging(namespace: Namespace, address: str) -> Iterator[Pings]:
    """Ping a hundred times a second from its first answer on."""
    pings = Pings()
    process = subprocess.Popen(
        namespace.command("ping", "-i", "0.01", address), stdout=subprocess.PIPE, text=True
    )

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if (matched := re.search(r"icmp_seq=(\d+) ttl", line)) is not None:
                pings.answered.append(int(matched[1]))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        pings.wait_more(1)
        yield pings
        pings.wait_more(10)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        reader.join()


@contextmanager
def sniffing(namespace: Namespace, interface: str) -> Iterator[list[bytes]]:
    """IP packets that pass an interface, without link layer, as they come."""
    with namespace.entered():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    sniffer.bind((interface, _ETH_P_ALL))
    packets: list[bytes] = []
    stop_reading, stop = socket.socketpair()

    def read() -> None:
        while True:
            ready, _, _ = select.select([sniffer, stop_reading], [], [])
            if sniffer in ready:
                packets.append(sniffer.recv(65536))
            else:
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield packets
    finally:
        stop.send(b"x")
        reader.join()
        for one in (sniffer, stop_reading, stop):
            one.close()


def udp_ports(packets: list[bytes]) -> set[tuple[int, int]]:
    """Source and destination ports of the UDP packets over IPv4."""
    found = set()
    for packet in packets:
        header = (packet[0] & 15) * 4
        if packet[0] >> 4 == 4 and packet[9] == _UDP:
            found.add(struct.unpack_from("!HH", packet, header))
    return found


def syn_sizes(packets: list[bytes]) -> set[int]:
    """The MSS options of the SYNs."""
    found = set()
    for packet in packets:
        version, start = packet[0] >> 4, (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
        protocol = packet[9] if version == 4 else packet[6]
        if protocol != _TCP or packet[start + 13] & 0x06 != 0x02:
            continue
        options = packet[start + 20 : start + (packet[start + 12] >> 4) * 4]
        # Systems put the MSS first (RFC 9293 3.7.1 lets them).
        assert options[:2] == b"\x02\x04"
        found.add(int.from_bytes(options[2:4]))
    return found


@contextmanager
def connecting(namespace: Namespace, address: str) -> Iterator[None]:
    """Send SYNs there meanwhile."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.entered(), socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.setblocking(False)
        opened.connect_ex((address, 179))
        yield
