"""Runs in a host of the lab: sends echo requests at a steady rate and prints when which were answered.

    prober ADDRESS --interval SECONDS [--size BYTES] [--count N | --until-eof]

One JSON object per line, every `REPORT_SECONDS`: `{"sent": [[seq, time], ...], "received": [...]}`, times in
seconds of CLOCK_MONOTONIC, which all namespaces share. Ends after `--count` requests (and a second of
waiting for answers), or with `--until-eof` when standard input ends. Packets carry DF, so `--size` (of the
IP packet) finds out whether that size passes (RFC 1191, 8201).
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import struct
import sys
import time

REPORT_SECONDS = 0.05
LAST_WAIT_SECONDS = 1.0
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2
_IPV6_DONTFRAG = 62
_HEADER = struct.Struct("!BBHHHI")  # ICMP type, code, checksum, identifier, sequence (RFC 792); our number
_REQUEST, _REPLY = 8, 0
_REQUEST6, _REPLY6 = 128, 129  # RFC 4443 4
_HEADER_BYTES, _HEADER6_BYTES = 20, 40


def checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(identifier: int, number: int, size: int, ipv6: bool = False) -> bytes:
    """An echo request whose IP packet has `size` bytes; `number` beyond 16 bits is kept in the data.

    The checksum of ICMPv6 is left to the kernel, which knows the addresses that it covers (RFC 3542 3.1).
    """
    kind = _REQUEST6 if ipv6 else _REQUEST
    padding = bytes(max(0, size - (_HEADER6_BYTES if ipv6 else _HEADER_BYTES) - _HEADER.size))
    blank = _HEADER.pack(kind, 0, 0, identifier, number & 0xFFFF, number) + padding
    if ipv6:
        return blank
    return _HEADER.pack(kind, 0, checksum(blank), identifier, number & 0xFFFF, number) + padding


def reply_number(packet: bytes, identifier: int, ipv6: bool = False) -> int | None:
    """Our number if the packet is an echo reply to this prober, else None.

    As a raw socket delivers it: with the IP header for IPv4, without it for IPv6.
    """
    start = 0 if ipv6 else (packet[0] & 15) * 4
    if len(packet) < start + _HEADER.size:
        return None
    kind, _code, _sum, who, _sequence, number = _HEADER.unpack_from(packet, start)
    return int(number) if kind == (_REPLY6 if ipv6 else _REPLY) and who == identifier else None


class Prober:
    """Sends by a fixed schedule: a delay of this process shifts no later request."""

    def __init__(self, address: str, interval: float, size: int, count: int | None) -> None:
        """`count` None: until standard input ends."""
        self._address, self._interval, self._size, self._count = address, interval, size, count
        self._identifier = os.getpid() & 0xFFFF
        self._ipv6 = ":" in address
        if self._ipv6:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
        else:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        self._socket.setblocking(False)
        self._sent: list[tuple[int, float]] = []
        self._received: list[tuple[int, float]] = []
        self._answers = 0

    def run(self) -> None:
        """Probes until the count is reached and its last answers are in, or until standard input ends."""
        began = now = time.monotonic()
        number, report_at, end = 0, began + REPORT_SECONDS, float("inf")
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            if self._count is None:
                selector.register(sys.stdin, selectors.EVENT_READ)
            while now < end and not self._all_answered():
                due = began + number * self._interval
                if number == self._count:
                    end = min(end, now + LAST_WAIT_SECONDS)
                    due = end
                elif now >= due:
                    self._send(number, now)
                    number += 1
                for key, _ in selector.select(max(0.0, min(due, report_at) - now)):
                    if key.fileobj is self._socket:
                        self._receive()
                    elif not os.read(0, 4096):
                        end = now
                now = time.monotonic()
                if now >= report_at:
                    self._report()
                    report_at = now + REPORT_SECONDS
        self._report()

    def _all_answered(self) -> bool:
        return self._count is not None and self._answers >= self._count

    def _send(self, number: int, now: float) -> None:
        self._sent.append((number, now))
        try:
            request = echo_request(self._identifier, number, self._size, self._ipv6)
            self._socket.sendto(request, (self._address, 0))
        except OSError as error:
            # No route, or too big for it: simply unanswered. Whoever measures wants to see the gap.
            print(f"prober: request {number}: {error}", file=sys.stderr)

    def _receive(self) -> None:
        packet = self._socket.recv(65535)
        if (number := reply_number(packet, self._identifier, self._ipv6)) is not None:
            self._received.append((number, time.monotonic()))
            self._answers += 1

    def _report(self) -> None:
        print(json.dumps({"sent": self._sent, "received": self._received}), flush=True)
        self._sent, self._received = [], []


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="prober")
    parser.add_argument("address")
    parser.add_argument("--interval", type=float, default=0.005)
    parser.add_argument("--size", type=int, default=64)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--count", type=int)
    length.add_argument("--until-eof", action="store_true")
    options = parser.parse_args()
    Prober(options.address, options.interval, options.size, options.count).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
