"""Health checks and probes of the guard: what they send and hear, and what is said of failures."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from bgpsvc.guard.model import CheckSettings, CheckVerdict, Method, Refused, Watch, Watched
from tests.netns.guard_bench import T1, Bench, Daemon, watched

CHECK = CheckSettings("169.254.11.1", "169.254.11.2", 0.1, 2)
SILENT = "no reply from 169.254.11.2 to 2 requests in a row"
WAY = "cannot send from 169.254.11.1 over t1 to 169.254.11.2: "


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        made = Bench(stack)
        made.start()
        yield made


def with_check(settings: CheckSettings = CHECK) -> Watch:
    return Watch((Watched(T1, "t1", check=settings),))


def verdict(daemon: Daemon) -> tuple[bool, str]:
    """The next verdict."""
    found = daemon.hear(lambda message: isinstance(message, CheckVerdict), "a verdict")
    assert isinstance(found, CheckVerdict)
    assert found.tunnel == T1
    return found.healthy, found.reason


def test_replies_come_and_go_and_the_verdict_outlives_worker_and_daemon(bench: Bench) -> None:
    with bench.daemon() as daemon:
        pid = daemon.hello().pid
        daemon.say(with_check())
        assert verdict(daemon) == (True, "169.254.11.2 replies")
        bench.far[0].sysctl("net/ipv4/icmp_echo_ignore_all", 1)
        assert verdict(daemon) == (False, SILENT)
        daemon.say(with_check())
        assert verdict(daemon) == (False, SILENT), "told again, for whoever asks anew"
        os.kill(pid, signal.SIGKILL)
    with bench.daemon() as daemon:
        assert verdict(daemon) == (False, SILENT), "told on each connection"
        bench.far[0].sysctl("net/ipv4/icmp_echo_ignore_all", 0)
        assert verdict(daemon) == (True, "169.254.11.2 replies")


def test_requests_take_the_tunnel_and_failures_are_verdicts_that_end_with_their_cause(bench: Bench) -> None:
    here, far = bench.here, bench.far[0]
    here.ip("link add other type veth peer name other2")
    here.ip("link set other up")
    here.ip("link set other2 up")
    here.ip("route add 169.254.11.2/32 dev other")
    with bench.daemon() as daemon:
        daemon.say(with_check())
        assert verdict(daemon) == (True, "169.254.11.2 replies")
        here.ip("link set t1 down")
        unhealthy, reason = verdict(daemon)
        assert not unhealthy
        assert reason.startswith(WAY)
        here.ip("link del t1")
        here.veth("t1", far, "p1", ["169.254.11.1/30"])
        far.ip("addr add 169.254.11.2/30 dev p1")
        assert verdict(daemon) == (True, "169.254.11.2 replies"), "over an interface made anew"
        daemon.say(with_check(replace(CHECK, source="169.254.11.9")))
        assert verdict(daemon)[1].endswith("Cannot assign requested address")
        daemon.say(Watch(()))
        with pytest.raises(AssertionError, match="not heard"):
            daemon.hear(lambda message: isinstance(message, CheckVerdict), "a verdict", 0.5)


def test_what_makes_a_probe_or_bfd_impossible_is_told_once(bench: Bench) -> None:
    bench.here.ip("addr del 169.254.11.1/30 dev t1")
    both = watched(1, bfd=True, probe=True)
    with bench.daemon() as daemon:
        daemon.say(Watch((both, replace(watched(2, bfd=True), interface="t9"))))
        refused = set()
        for _ in range(3):
            message = daemon.hear(lambda message: isinstance(message, Refused), "a refusal")
            assert isinstance(message, Refused)
            refused.add((message.subject, message.text.rpartition(": ")[2]))
        assert refused == {
            ("c-tunnel1 bfd", "Cannot assign requested address"),
            ("c-tunnel1 probe", "Cannot assign requested address"),
            ("c-tunnel2 bfd", "No such device"),
        }
        bench.here.ip("addr add 169.254.11.1/30 dev t1")
        daemon.detection(T1, Method.PROBE, True)
        assert sum(isinstance(message, Refused) for message in daemon.said) == 3
