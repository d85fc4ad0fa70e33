"""The probes: packets from this namespace, each bounded in time. What comes of them are values, never
exceptions.

A socket that cannot be made or used here (`OSError`) is an answer too: `failed`, with the kernel's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bgpsvc.diagnosing import ike_offer, ike_probe, syn
from bgpsvc.diagnosing.counters import NETSTAT, md5_counters
from bgpsvc.diagnosing.evidence import Md5Counters, Offer, Reply, TcpAnswer
from bgpsvc.health.icmp import Echo, reply, request

TIMEOUT = 3.5
"""Seconds for an answer over the Internet; the kernel gives a neighbour 3 before it calls it unreachable."""
SIZED_S = 0.8
"""Seconds for the answers to echo requests of several sizes."""
INSIDE_TIMEOUT = 2.0
"""Seconds for an answer through a tunnel whose SAs are up."""
RESEND = (0.0, 0.6, 1.4)
"""Seconds after which a request is sent (again): one lost packet is no silence."""
_SO_BINDTODEVICE = 25
_IP_RECVERR, _MSG_ERRQUEUE = 11, 0x2000
_IP_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 3
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_ORIGIN_ICMP = 2
_PACKET = 65536
_IP_HEADER, _ICMP_HEADER = 20, 8
_FROM_THE_NETWORK = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT)
_UNREACHABLE = {
    0: "network unreachable",
    1: "host unreachable",
    3: "port unreachable",
    6: "network unknown",
    7: "host unknown",
    9: "network prohibited",
    10: "host prohibited",
    13: "administratively prohibited",
}


async def ike(local: str, remote: str, port: int, version: str) -> Reply:
    """Ask for IKE from an ephemeral port of `local`; `version`: ikev1 or ikev2."""
    spi = os.urandom(8)
    message = ike_probe.ikev1(spi) if version == "ikev1" else ike_probe.ikev2(spi, os.urandom(288))
    marker = ike_probe.NON_ESP_MARKER if port == 4500 else b""

    def read(packet: bytes) -> str | None:
        if not packet.startswith(marker):
            return None
        answer = ike_probe.read(packet[len(marker) :], spi)
        return None if answer is None else f"IKEv{answer.version}: {answer.text}"

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            _prepare(sock, local)
            sock.connect((remote, port))
            return await _ask(sock, [(delay, marker + message) for delay in RESEND], read, TIMEOUT)
    except OSError as error:
        return Reply("failed", error.strerror or str(error))


async def offer(local: str, remote: str, version: str) -> Offer:
    """Offer the peer every algorithm, on UDP 500. Leaves a half-open SA there: ask seldom."""
    group = 14
    try:
        choice = await _offer(local, remote, version, group)
        wanted = None if choice is None else choice.group
        if wanted in ike_offer.KEY_BYTES and wanted != group:
            # It takes the algorithms, but wants the key for another of the groups.
            choice = await _offer(local, remote, version, wanted)
    except OSError:
        return Offer(version, answered=False)
    if choice is None:
        return Offer(version, answered=False)
    return Offer(version, True, choice.algorithms or (f"group{choice.group}" if choice.group else None))


async def _offer(local: str, remote: str, version: str, group: int) -> ike_offer.Choice | None:
    spi, random = os.urandom(8), os.urandom(ike_offer.KEY_BYTES[group] + 32)
    found: list[ike_offer.Choice] = []

    def read(packet: bytes) -> str | None:
        choice = ike_offer.read(packet, spi)
        # The answer to a message that was sent twice may come twice, and too late.
        if choice is None or (choice.cookie and found):
            return None
        found.append(choice)
        return "answered"

    def message() -> bytes:
        cookie = found[0].cookie if found else b""
        return (
            ike_offer.ikev1(spi) if version == "ikev1" else ike_offer.ikev2(spi, group, random, cookie=cookie)
        )

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        _prepare(sock, local)
        sock.connect((remote, 500))
        await _ask(sock, [(delay, message()) for delay in RESEND], read, INSIDE_TIMEOUT)
        if found and found[0].cookie:
            await _ask(sock, [(delay, message()) for delay in RESEND], read, INSIDE_TIMEOUT)
    return found[-1] if found and not found[-1].cookie else None


async def ping(source: str, destination: str) -> Reply:
    """Echo requests by the machine's routes; any reply to one of them counts."""
    try:
        with _icmp(source, destination, None) as sock:
            echo = Echo(int.from_bytes(os.urandom(2), "big"), 1, os.urandom(24))

            def read(packet: bytes) -> str | None:
                return "answered" if _is_reply(packet, destination, echo) else None

            return await _ask(sock, [(delay, request(echo)) for delay in RESEND], read, TIMEOUT)
    except OSError as error:
        return Reply("failed", error.strerror or str(error))


@dataclass(frozen=True, slots=True)
class Pinged:
    """Echo requests through a tunnel: how many were sent and answered, seconds until the first reply."""

    requests: int
    replies: int
    seconds: float | None
    error: str | None = None


async def ping_through(
    interface: str, source: str, destination: str, count: int = 3, apart: float = 0.2
) -> Pinged:
    """`count` echo requests over an interface, `apart` seconds apart."""
    loop = asyncio.get_running_loop()
    sent: dict[int, float] = {}
    took: dict[int, float] = {}
    base = Echo(int.from_bytes(os.urandom(2), "big"), 0, os.urandom(24))
    try:
        with _icmp(source, destination, interface) as sock:

            def hear(packet: bytes) -> bool:
                number = _sequence(packet, destination, base)
                if number in sent:
                    took.setdefault(number, loop.time() - sent[number])
                return len(took) == count

            async def send() -> None:
                for number in range(count):
                    sent[number] = loop.time()
                    sock.send(request(Echo(base.identifier, number, base.payload)))
                    await asyncio.sleep(apart)

            await _converse(sock, send, hear, INSIDE_TIMEOUT)
    except OSError as error:
        if error.errno not in _FROM_THE_NETWORK:
            return Pinged(len(sent), len(took), None, error.strerror or str(error))
    return Pinged(count, len(took), min(took.values(), default=None))


async def largest_packet(
    interface: str, source: str, destination: str, mtu: int, least: int = 576
) -> int | None:
    """The largest IPv4 packet (bytes) up to `mtu` that is answered with DF set; None: not even `least`.

    Several sizes are asked at once, and then those between the largest that came back and the next: three
    rounds find one of a thousand. What seems too large then is asked once more, with more patience: it may
    have been lost, or a machine be busy.
    """
    ask = partial(_sized, interface, source, destination)
    best = await _largest(ask, None, mtu + 1, sorted({least, mtu, *_between(least, mtu)}))
    if best is None or best >= mtu:
        return best
    late = await ask(sorted({best + 1, mtu}), INSIDE_TIMEOUT)
    if not late:
        return best
    return await _largest(ask, max(late), mtu, _between(max(late), mtu))


async def _largest(
    ask: Callable[[Sequence[int]], Awaitable[set[int]]], best: int | None, above: int, sizes: Sequence[int]
) -> int | None:
    """The largest size that is answered, of these and of those between; `best` if none is."""
    while sizes:
        answered = await ask(sizes)
        if not answered:
            return best
        best = max(answered)
        above = min((size for size in sizes if size > best), default=above)
        sizes = _between(best, above)
    return best


def _between(low: int, high: int, most: int = 15) -> list[int]:
    """Up to `most` sizes spread over those between, ends excluded."""
    room = high - low - 1
    if room <= most:
        return list(range(low + 1, high))
    return [low + (room + 1) * step // (most + 1) for step in range(1, most + 1)]


async def _sized(
    interface: str, source: str, destination: str, sizes: Sequence[int], patience: float = SIZED_S
) -> set[int]:
    """Which of these packet sizes are answered within `patience` seconds.

    One that this machine itself refuses is not; none is if the interface went away: another layer tells that.
    """
    base = Echo(int.from_bytes(os.urandom(2), "big"), 0, b"")
    answered: set[int] = set()
    waiting: dict[int, int] = dict(enumerate(sizes))

    def hear(packet: bytes) -> bool:
        found = reply(packet)
        if found is not None and found[0] == socket.inet_aton(destination):
            echo = found[1]
            if echo.identifier == base.identifier and waiting.get(echo.sequence) == len(packet):
                answered.add(len(packet))
        return len(answered) == len(sizes)

    with contextlib.suppress(OSError), _icmp(source, destination, interface) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)

        async def send() -> None:
            for _ in range(2):
                for number, size in waiting.items():
                    if size not in answered:
                        payload = bytes(size - _IP_HEADER - _ICMP_HEADER)
                        with contextlib.suppress(OSError):  # EMSGSIZE: too large for this machine already
                            sock.send(request(Echo(base.identifier, number, payload)))
                await asyncio.sleep(patience / 3)

        await _converse(sock, send, hear, patience)
    return answered


async def tcp_syn(interface: str, local: str, remote: str, port: int, key: bytes | None = None) -> TcpAnswer:
    """What a SYN over an interface is answered; signed by TCP MD5 if there is a key."""
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as keeper,
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock,
        ):
            # Keeps the port from anybody else; it does not listen, so the kernel resets what is answered.
            keeper.bind((local, 0))
            _prepare(sock, local, interface)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)  # TTL security at the peer (RFC 5082)
            sock.connect((remote, 0))
            asked = syn.Syn(
                socket.inet_aton(local),
                socket.inet_aton(remote),
                keeper.getsockname()[1],
                port,
                int.from_bytes(os.urandom(4), "big"),
            )
            ttl: list[int] = []

            def read(packet: bytes) -> str | None:
                seen = syn.read(packet, asked)
                if seen is None:
                    return None
                ttl.append(seen.ttl)
                return seen.answer

            segments = [(delay, syn.encode(asked, key)) for delay in RESEND]
            found = _tcp_answer(await _ask(sock, segments, read, INSIDE_TIMEOUT), ttl)
            if found.answer == "open" and key is not None:
                with contextlib.suppress(OSError):  # then the peer's connection ends by its time-out
                    sock.send(syn.reset(asked, key))
            return found
    except OSError as error:
        return TcpAnswer("failed", error.strerror or str(error))


def _tcp_answer(found: Reply, ttl: Sequence[int]) -> TcpAnswer:
    if found.answer == "answered":
        if found.detail == "open":
            return TcpAnswer("open", "answered: the port is open", ttl[0])
        return TcpAnswer("refused", "refused with a reset", ttl[0])
    if found.answer == "unreachable":
        by = f", says {found.by}" if found.by else ""
        return TcpAnswer("unreachable", f"{found.detail}{by}")
    return TcpAnswer("failed" if found.answer == "failed" else "silent", found.detail)


def is_local(address: str) -> bool:
    """An IPv4 address of this machine: a socket can be bound to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
    return True


def count_md5() -> Md5Counters:
    """What the kernel counted so far, in the namespace of the calling thread."""
    return md5_counters(Path(NETSTAT).read_text())


# Sockets --------------------------------------------------------------------------------------


def _icmp(source: str, destination: str, interface: str | None) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    try:
        _prepare(sock, source, interface)
        sock.connect((destination, 0))
    except OSError:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket, local: str, interface: str | None = None) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    if interface is not None:
        sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, interface.encode() + b"\0")
    sock.bind((local, 0))


def _is_reply(packet: bytes, destination: str, echo: Echo) -> bool:
    return reply(packet) == (socket.inet_aton(destination), echo)


def _sequence(packet: bytes, destination: str, echo: Echo) -> int:
    """Sequence number of a reply to one of our requests; -1 if it is none."""
    found = reply(packet)
    if found is None or found[0] != socket.inet_aton(destination):
        return -1
    ours = (found[1].identifier, found[1].payload) == (echo.identifier, echo.payload)
    return found[1].sequence if ours else -1


async def _ask(
    sock: socket.socket,
    requests: Iterable[tuple[float, bytes]],
    read: Callable[[bytes], str | None],
    seconds: float,
) -> Reply:
    """Send the requests, each after its delay, until `read` finds an answer or an ICMP error comes."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found: list[str] = []

    def hear(packet: bytes) -> bool:
        answer = read(packet)
        if answer is not None:
            found.append(answer)
        return answer is not None

    async def send() -> None:
        for delay, packet in requests:
            await asyncio.sleep(max(0.0, began + delay - loop.time()))
            sock.send(packet)

    try:
        await _converse(sock, send, hear, seconds)
    except OSError as error:
        said = _icmp_error(sock)
        if said is not None:
            return Reply("unreachable", said[0], by=said[1])
        if error.errno in _FROM_THE_NETWORK:
            words = (
                "port unreachable" if error.errno == errno.ECONNREFUSED else (error.strerror or "").lower()
            )
            return Reply("unreachable", words)
        return Reply("failed", error.strerror or str(error))
    if found:
        return Reply("answered", found[0], loop.time() - began)
    return Reply("silent", f"no answer within {seconds:g} s")


def _icmp_error(sock: socket.socket) -> tuple[str, str | None] | None:
    """The first ICMP error that the socket got (RFC 1122 4.1.3.3): in words, and who sent it."""
    try:
        _, ancillary, _, _ = sock.recvmsg(_PACKET, 512, _MSG_ERRQUEUE)
    except OSError:
        return None  # the queue is empty: the error was this machine's own
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_RECVERR:
            _, origin, icmp_type, code, _, _, _ = _EXTENDED_ERROR.unpack_from(data)
            if origin == _ORIGIN_ICMP and icmp_type == 3:
                by = socket.inet_ntoa(data[_EXTENDED_ERROR.size + 4 : _EXTENDED_ERROR.size + 8])
                return _UNREACHABLE.get(code, f"unreachable (code {code})"), by
    return None


async def _converse(
    sock: socket.socket,
    send: Callable[[], Coroutine[None, None, None]],
    hear: Callable[[bytes], bool],
    seconds: float,
) -> None:
    """Send in the background and hand over what comes, until `hear` has enough or the time is over.
    OSError."""
    sending = asyncio.create_task(send())
    hearing = asyncio.create_task(_hear(sock, hear))
    try:
        async with asyncio.timeout(seconds):
            await asyncio.wait((sending, hearing), return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                await sending
            await hearing
    except TimeoutError:
        return
    finally:
        for task in (sending, hearing):
            task.cancel()
        await asyncio.gather(sending, hearing, return_exceptions=True)


async def _hear(sock: socket.socket, hear: Callable[[bytes], bool]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            if hear(await loop.sock_recv(sock, _PACKET)):
                return
        except OSError as error:
            if error.errno != errno.EMSGSIZE:  # a router says "fragmentation needed": others may pass
                raise
