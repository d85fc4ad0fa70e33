"""The guard with a real kernel and real peers: it moves groups, and its processes replace each other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from bgpsvc.guard.descriptors import RESERVE
from bgpsvc.guard.model import (
    BfdSettings,
    BfdStatus,
    Hello,
    Method,
    Plan,
    Quit,
    Refused,
    Status,
    Watch,
    Watched,
)
from bgpsvc.model import SessionId
from tests.netns.guard_bench import GROUP, N1, N2, PLAN, ROOT, T1, T2, Bench, Peer, lead, watched
from tests.netns.namespaces import wait_until

BFD = Watch((watched(1, bfd=True), watched(2, bfd=True)))


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


@pytest.fixture
def peers(bench: Bench) -> Iterator[list[Peer]]:
    with ExitStack() as stack:
        made = [Peer(far, i) for i, far in enumerate(bench.far, 1)]
        for peer in made:
            stack.callback(peer.close)
        yield made


def both_up(bench: Bench) -> None:
    """Start a guard that watches both tunnels by BFD, and leave it without a daemon when both are up."""
    bench.start()
    with bench.daemon() as daemon:
        daemon.say(BFD, PLAN)
        for tunnel in (T1, T2):
            daemon.detection(tunnel, Method.BFD, True)


def test_moves_without_a_daemon_when_bfd_fails_and_ends_at_the_tunnel_that_is_back(
    bench: Bench, peers: list[Peer]
) -> None:
    both_up(bench)
    assert bench.leads_to() == N1
    peers[0].process.send_signal(signal.SIGSTOP)
    wait_until(lambda: bench.leads_to() == N2, "the group has left the silent tunnel")
    with bench.daemon() as daemon:
        hello, dead = daemon.hello(), daemon.detection(T1, Method.BFD, False)
        os.kill(hello.pid, signal.SIGKILL)
    with bench.daemon() as daemon:
        # A daemon judges by that whether its session has outlived the failure.
        assert daemon.detection(T1, Method.BFD, False).since == dead.since is not None
        peers[0].process.send_signal(signal.SIGCONT)
        daemon.detection(T1, Method.BFD, True)
    assert bench.leads_to() == N2, "the way back is the daemon's"
    peers[1].process.send_signal(signal.SIGSTOP)
    wait_until(lambda: bench.leads_to() == N1, "the group has gone to the one that is back")
    with bench.daemon() as daemon:
        daemon.say(Quit())
        with pytest.raises(EOFError):
            daemon.hear(lambda _: False, "never")
    wait_until(lambda: peers[0].states()[-1] == "Down", "the peer hears that BFD is switched off")
    wait_until(lambda: not bench.processes(), "both processes end")


def test_peers_do_not_notice_that_processes_replace_each_other(bench: Bench, peers: list[Peer]) -> None:
    """Workers killed and stopped, keepers killed, in turn: one BFD session of 50 ms x 3 all along."""
    both_up(bench)
    wait_until(lambda: all(peer.states()[-1:] == ["Up"] for peer in peers), "both are up")
    before = [peer.states() for peer in peers]
    local = [one.local_discriminator for one in figures(bench)]
    kill, stop = signal.SIGKILL, signal.SIGSTOP
    for which, number in (("pid", kill), ("pid", stop), ("keeper", kill), ("pid", kill), ("keeper", kill)):
        with bench.daemon() as daemon:
            hello = daemon.hello()
            os.kill(getattr(hello, which), number)
        wait_until(partial(replaced, bench, which, hello), f"another {which}")
    assert [one.local_discriminator for one in figures(bench)] == local
    assert [peer.states() for peer in peers] == before, bench.complaints()


def test_a_machine_that_stood_still_replaces_nobody(bench: Bench) -> None:
    """Both processes were stopped and go on, the keeper first: it knows that it is late itself."""
    bench.start()
    with bench.daemon() as daemon:
        daemon.say(Watch((watched(1),)))  # no BFD: the keeper's patience is a second
        hello = daemon.hello()
        daemon.hear(lambda message: isinstance(message, Status), "it is at work")
        for pid in (hello.keeper, hello.pid):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(hello.keeper, signal.SIGCONT)
        time.sleep(0.1)
        os.kill(hello.pid, signal.SIGCONT)
        for _ in range(3):
            daemon.hear(lambda message: isinstance(message, Status), "it is at work")
        assert hello.pid in bench.processes(), bench.complaints()
        assert len([message for message in daemon.said if isinstance(message, Hello)]) == 1


def test_takes_all_descriptors_it_may_have_and_leaves_some_to_daemons(bench: Bench) -> None:
    bench.here.ip("link set lo up")
    bench.start("prlimit", "--nofile=20:120")
    sessions = [BfdSettings(f"127.0.1.{i}", f"127.0.2.{i}", 300, 3) for i in range(1, 101)]
    with bench.daemon() as daemon:
        daemon.say(Watch(tuple(Watched(SessionId(s.peer), "lo", bfd=s) for s in sessions)))
        refused = daemon.hear(lambda message: isinstance(message, Refused), "a refusal")
        assert isinstance(refused, Refused)
        assert refused.text.endswith(": Too many open files")
    with bench.daemon() as daemon:
        pid = daemon.hello().pid
        daemon.hear(lambda message: isinstance(message, Status), "it is at work")
    assert 20 < len(descriptors(pid)) <= 120 - RESERVE + 5


SPIN = """
from bgpsvc.guard import keeper, priority

priority.PATIENCE_US = 100_000
signals = keeper.Signals()
assert priority.schedule()[0] is not None
while priority.is_urgent():
    pass
assert not signals.told_to_end()
"""


def test_gives_way_to_others_while_it_is_busy_without_a_pause(bench: Bench) -> None:
    subprocess.run([sys.executable, "-c", SPIN], cwd=ROOT, check=True, timeout=60)
    bench.start()
    with bench.daemon() as daemon:
        hello = daemon.hello()
        assert hello.realtime is not None
        os.kill(hello.pid, signal.SIGXCPU)  # as the kernel says it
        assert daemon.hello().realtime is None
        again = daemon.hello()
        assert (again.pid, again.realtime) == (hello.pid, hello.realtime)


def figures(bench: Bench) -> list[BfdStatus]:
    with bench.daemon() as daemon:
        status = daemon.hear(lambda message: isinstance(message, Status), "figures")
        assert isinstance(status, Status)
        return list(status.bfd)


def replaced(bench: Bench, which: str, before: Hello) -> bool:
    """Another process is in the place of one, and says that both tunnels are up."""
    with bench.daemon() as daemon:
        hello = daemon.hello()
        for tunnel in (T1, T2):
            assert daemon.detection(tunnel, Method.BFD, True)
        return bool(getattr(hello, which) != getattr(before, which))


def test_moves_when_the_probe_fails_though_its_processes_were_replaced(bench: Bench) -> None:
    bench.start()
    with bench.daemon() as daemon:
        daemon.say(Watch((watched(1, probe=True), watched(2, probe=True))), PLAN)
        pid = daemon.hello().pid
        daemon.detection(T1, Method.PROBE, True)
        daemon.detection(T2, Method.PROBE, True)
        os.kill(daemon.greeted.keeper, signal.SIGKILL)
        keeper = daemon.hello().keeper
        # It begins with all of the worker's.
        wait_until(lambda: sockets(keeper) == 1, "a keeper has the listener, and nothing of the worker's")
        daemon.asked_and_answered(T1, 10)
        os.kill(pid, signal.SIGKILL)
    bench.far[0].sysctl("net/ipv4/icmp_echo_ignore_all", 1)
    wait_until(lambda: bench.leads_to() == N2, "the group has left the tunnel whose peer is silent")
    with bench.daemon() as daemon:
        assert daemon.hello().pid != pid
        dead = daemon.detection(T1, Method.PROBE, False)
        assert dead.reason.startswith("no reply from 169.254.11.2")
        os.kill(daemon.greeted.pid, signal.SIGKILL)
    with bench.daemon() as daemon:
        # A daemon judges by that whether its session has outlived the failure.
        assert daemon.detection(T1, Method.PROBE, False).since == dead.since is not None
        # A plan that knows nothing of it, and a daemon that acts on it: obeyed where it does no harm.
        bench.here.ip(f"nexthop replace id {GROUP} group {N1} proto 201")
        daemon.say(PLAN)
        found = daemon.hear(lambda message: getattr(message, "moved", ()), "it is told again")
        assert found.moved == ((GROUP, N2),)  # type: ignore[union-attr]
        wait_until(lambda: bench.leads_to() == N2, "it is moved again")
        bench.far[0].sysctl("net/ipv4/icmp_echo_ignore_all", 0)
        daemon.detection(T1, Method.PROBE, True)
        assert bench.leads_to() == N2


def descriptors(pid: int) -> list[str]:
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(fd))
    return found


def sockets(pid: int) -> int:
    """How many of them are sockets."""
    return sum(link.startswith("socket:") for link in descriptors(pid))


def test_tells_of_links_and_of_what_the_kernel_refuses(bench: Bench) -> None:
    bench.start()
    other, unknown = GROUP + 1, N2 + 1
    bench.here.ip(f"nexthop add id {other} group {N1} proto 201")
    with bench.daemon() as daemon:
        daemon.say(Watch((watched(1, probe=True), watched(2))), Plan((lead(other, unknown, N2),), whole=True))
        daemon.detection(T1, Method.PROBE, True)
        bench.far[0].sysctl("net/ipv4/icmp_echo_ignore_all", 1)
        assert daemon.detection(T1, Method.PROBE, False).moved == ((other, N2),)
        refused = daemon.hear(lambda message: isinstance(message, Refused), "a refusal")
        assert refused == Refused(f"group {other:#x}", f"to {unknown:#x}: Invalid nexthop id")
        assert daemon.detection(T2, Method.LINK, True).reason == "t2 is up"
        before = len(daemon.said)
        bench.far[1].ip("link set p2 down")
        assert daemon.detection(T2, Method.LINK, False).reason == "t2 is down or missing"
        bench.far[0].ip("link set p1 down")
        daemon.detection(T1, Method.LINK, False)
        # The kernel took the groups with their devices: nothing can be moved, and that is no refusal.
        assert not [message for message in daemon.said[before:] if getattr(message, "moved", ())]
        assert not [message for message in daemon.said[before:] if isinstance(message, Refused)]
