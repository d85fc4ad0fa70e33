"""Packets from one namespace to another, and how many arrived: the two ends of `tests.bench.tunnel`.

    flows sink ADDRESS                          answers the others until it is ended
    flows tcp ADDRESS STREAMS SECONDS           prints bits per second
    flows udp ADDRESS SIZE SECONDS              prints packets per second; SIZE: bytes of the UDP payload
    flows latency ADDRESS COUNT                 prints [median, p99] of round trips in seconds

The receiver counts. A UDP sender sends as fast as it can, so what arrives is what the link carries when it
is offered too much.
"""

from __future__ import annotations

import json
import socket
import statistics
import struct
import sys
import threading
import time

from tests.bench.monitor import SO_RCVBUFFORCE

TCP_PORT, UDP_PORT, ECHO_PORT = 5201, 5202, 5203
_BLOCK = 1 << 17
_LATENCY_SIZE = 64
_TIMEOUT = 1.0
_BUFFER = 4 << 20
_COUNT, _COUNTED = b"count", struct.Struct("!Qd")


def sink(address: str) -> None:
    """Takes TCP streams, counts UDP packets, echoes others; never returns."""
    threading.Thread(target=_count_udp, args=(address,), daemon=True).start()
    threading.Thread(target=_echo_udp, args=(address,), daemon=True).start()
    with socket.create_server((address, TCP_PORT)) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_take, args=(connection,), daemon=True).start()


def _take(connection: socket.socket) -> None:
    """Reads a stream to its end; answers with the bytes and the seconds from the first to the last."""
    buffer = bytearray(_BLOCK)
    total = connection.recv_into(buffer)
    began = time.monotonic()
    with connection:
        while count := connection.recv_into(buffer):
            total += count
        connection.sendall(_COUNTED.pack(total, time.monotonic() - began))


def _count_udp(address: str) -> None:
    """Counts, until `count` (which no flood has the size of) asks for packets and seconds; then anew."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        udp.bind((address, UDP_PORT))
        packets, first, last = 0, 0.0, 0.0
        buffer = bytearray(2048)
        while True:
            size, sender = udp.recvfrom_into(buffer)
            if size == len(_COUNT):
                udp.sendto(_COUNTED.pack(packets, last - first), sender)
                packets = 0
                continue
            last = time.monotonic()
            if not packets:
                first = last
            packets += 1


def _echo_udp(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((address, ECHO_PORT))
        while True:
            data, sender = udp.recvfrom(2048)
            udp.sendto(data, sender)


def tcp(address: str, streams: int, seconds: float) -> float:
    """Bits per second that arrived, all streams together."""
    rates = [0.0] * streams

    def send(number: int) -> None:
        data = bytes(_BLOCK)
        with socket.create_connection((address, TCP_PORT), timeout=30) as connection:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(_COUNTED.size, socket.MSG_WAITALL)
        total, taken = _COUNTED.unpack(answer)
        rates[number] = total * 8 / taken

    threads = [threading.Thread(target=send, args=(number,)) for number in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def udp(address: str, size: int, seconds: float) -> float:
    """Packets per second that arrived."""
    data = bytes(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.connect((address, UDP_PORT))
        flood.settimeout(_TIMEOUT)
        _counted(flood)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            flood.send(data)
        packets, taken = _counted(flood)
    return packets / taken if taken else 0.0


def _counted(flood: socket.socket) -> tuple[int, float]:
    """Packets since the last time, and the seconds from the first to the last of them.

    Asked again until the answer comes: the question waits behind what is still queued, or is dropped there.
    """
    for _ in range(10):
        flood.send(_COUNT)
        try:
            packets, taken = _COUNTED.unpack(flood.recv(_COUNTED.size))
        except TimeoutError:
            continue
        return packets, taken
    raise TimeoutError("the receiver of UDP packets does not answer")


def latency(address: str, count: int) -> tuple[float, float]:
    """Median and 99th percentile of the round trip of a small packet, one at a time, in seconds."""
    times: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.settimeout(_TIMEOUT)
        echo.connect((address, ECHO_PORT))
        for number in range(count):
            data = struct.pack("!Q", number).ljust(_LATENCY_SIZE)
            began = time.monotonic()
            echo.send(data)
            try:
                while echo.recv(2048) != data:  # an answer that came too late
                    continue
            except TimeoutError:
                pass
            times.append(time.monotonic() - began)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def main(words: list[str]) -> None:
    """Command line."""
    match words:
        case ["sink", address]:
            sink(address)
        case ["tcp", address, streams, seconds]:
            print(json.dumps(tcp(address, int(streams), float(seconds))))
        case ["udp", address, size, seconds]:
            print(json.dumps(udp(address, int(size), float(seconds))))
        case ["latency", address, count]:
            print(json.dumps(latency(address, int(count))))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
