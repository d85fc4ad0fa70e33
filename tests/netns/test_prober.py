"""The prober in a namespace: what it sends and hears over a tunnel, and what it says of failures."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from bgpsvc.health.check import Verdict
from bgpsvc.health.icmp import ECHO_REQUEST, checksum
from bgpsvc.health.prober import Probe, Prober
from bgpsvc.model import SessionId
from tests.netns.namespaces import Namespace

IDENT = SessionId("conn1-tunnel1")
PROBE = Probe("t1", "169.254.11.1", "169.254.11.2", 0.1, 2)
HEALTHY = Verdict(True, "169.254.11.2 replies")
SILENT = Verdict(False, "no reply from 169.254.11.2 to 2 requests in a row")


class Bench:
    """A prober at work in a namespace whose t1 leads to another one."""

    def __init__(self, make_namespace: Callable[[], Namespace]) -> None:
        self.here, self.peer = make_namespace(), make_namespace()
        self.here.veth("t1", self.peer, "p1", ["169.254.11.1/30"])
        self.peer.ip("addr add 169.254.11.2/30 dev p1")
        self.verdicts: asyncio.Queue[Verdict] = asyncio.Queue()
        self.prober = Prober(lambda _, verdict: self.verdicts.put_nowait(verdict))

    async def verdict(self) -> Verdict:
        """The next verdict."""
        return await asyncio.wait_for(self.verdicts.get(), 10)

    def run(self, scenario: Callable[[Bench], object]) -> None:
        """Run a coroutine function in the namespace; the prober is stopped behind it."""

        async def all_of_it() -> None:
            try:
                await scenario(self)  # type: ignore[misc]  # a coroutine function
            finally:
                await self.prober.stop()

        with self.here.entered():
            asyncio.run(all_of_it())


def test_replies_come_and_go(make_namespace: Callable[[], Namespace]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.prober.configure({IDENT: PROBE})
        assert await bench.verdict() == HEALTHY
        bench.peer.sysctl("net/ipv4/icmp_echo_ignore_all", 1)
        assert await bench.verdict() == SILENT
        await bench.prober.configure({IDENT: PROBE})
        assert await bench.verdict() == SILENT, "told again, for whoever asks anew"
        bench.peer.sysctl("net/ipv4/icmp_echo_ignore_all", 0)
        assert await bench.verdict() == HEALTHY

    Bench(make_namespace).run(scenario)


def test_a_busy_loop_is_no_failure(make_namespace: Callable[[], Namespace]) -> None:
    """Replies that take a while, and a loop that comes late: each request gets its time."""

    async def scenario(bench: Bench) -> None:
        bench.peer.sysctl("net/ipv4/icmp_echo_ignore_all", 1)
        with bench.peer.entered():
            far = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        far.settimeout(0.2)
        ended = threading.Event()
        answering = threading.Thread(target=answer_late, args=(far, ended))
        answering.start()
        try:
            await bench.prober.configure({IDENT: replace(PROBE, retries=1, interval=0.3)})
            assert await bench.verdict() == HEALTHY
            for _ in range(2):
                time.sleep(0.8)  # noqa: ASYNC251  # that is the point
                await asyncio.sleep(0.8)
            assert bench.verdicts.empty()
        finally:
            ended.set()
            answering.join()
            far.close()

    Bench(make_namespace).run(scenario)


def answer_late(far: socket.socket, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            packet, sender = far.recvfrom(2048)
        except TimeoutError:
            continue
        if packet[20] == ECHO_REQUEST:
            time.sleep(0.03)
            rest = packet[24:]
            far.sendto(struct.pack("!BBH", 0, 0, checksum(bytes(4) + rest)) + rest, sender)


def test_requests_take_the_tunnel_whatever_the_routes_say(make_namespace: Callable[[], Namespace]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.here.ip("link add other type veth peer name other2")
        bench.here.ip("link set other up")
        bench.here.ip("link set other2 up")
        bench.here.ip("route add 169.254.11.2/32 dev other")
        await bench.prober.configure({IDENT: PROBE})
        assert await bench.verdict() == HEALTHY

    Bench(make_namespace).run(scenario)


def test_failures_are_verdicts_and_end_with_their_cause(make_namespace: Callable[[], Namespace]) -> None:
    async def scenario(bench: Bench) -> None:
        way = "cannot send from 169.254.11.1 over t1 to 169.254.11.2: "
        await bench.prober.configure({IDENT: PROBE})
        assert await bench.verdict() == HEALTHY
        bench.here.ip("link set t1 down")
        assert (await bench.verdict()).reason.startswith(way)
        bench.here.ip("link del t1")
        bench.here.veth("t1", bench.peer, "p1", ["169.254.11.1/30"])
        bench.peer.ip("addr add 169.254.11.2/30 dev p1")
        assert await bench.verdict() == HEALTHY, "over an interface made anew"
        await bench.prober.configure({IDENT: replace(PROBE, source="169.254.11.9")})
        verdict = await bench.verdict()
        assert not verdict.healthy
        assert verdict.reason.endswith("Cannot assign requested address")
        await bench.prober.configure({})
        assert bench.verdicts.empty()

    Bench(make_namespace).run(scenario)
