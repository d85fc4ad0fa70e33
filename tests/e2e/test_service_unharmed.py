"""Every process killed, hung and exchanged, one by one, under traffic and with 100,000 prefixes.

Nothing of it may cost a packet or touch a route that is still right, and soon all is as before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bgpsvc import __version__
from bgpsvc.exabgp.relay import PROTOCOL
from tests.bench.probes import sample
from tests.e2e.service import (
    CONFIGURATION,
    END,
    LONG,
    REPOSITORY,
    NetlinkMonitor,
    Pings,
    Site,
    prefixes,
    table_of,
    tunnel_of,
)
from tests.fakes.bgp_peer import BgpPeer
from tests.netns.namespaces import wait_until

COUNT = 100_000
ONLY = 50
ROUTES = prefixes(COUNT)
ALONE = {number: prefixes(ONLY, start=COUNT + number * ONLY) for number in (1, 2)}
"""What only the peer of one tunnel announces: nothing else stands in for it."""
TABLES = {number: table_of(number, ROUTES + ALONE[number]) for number in (1, 2)}
ALL = {*ROUTES, *ALONE[1], *ALONE[2]}
PROBED = [*sample(ROUTES, 60), *sample(ALONE[1], 2), *sample(ALONE[2], 2)]
PATIENCE = 5
"""Seconds without a sign of life after which the watchdog ends the daemon."""
HOLD_TIME = 90
"""Of the sessions: what a busy machine makes of these tests ends none of them."""


@dataclass
class Lab:
    """A site whose daemon runs under a watchdog, and both peers with the same table."""

    site: Site
    peers: dict[int, BgpPeer]

    def daemon(self) -> int:
        """Pid of the daemon, which is the watchdog's child."""
        (pid,) = [pid for pid in self.site.pids("bgpsvc serve") if pid != self.watchdog]
        return pid

    @property
    def watchdog(self) -> int:
        assert self.site.daemon is not None
        return self.site.daemon.pid

    def speaker(self, role: str) -> int:
        """Pid of the speaker of a role."""
        (pid,) = self.site.pids(f"speaker-{role}.conf")
        return pid

    def relay(self, role: str) -> int:
        """Pid of the helper of that speaker."""
        (pid,) = self.relays(role)
        return pid

    def relays(self, role: str) -> list[int]:
        """The same, none while that speaker has not yet noticed that it is gone."""
        # For a moment the next one is a copy of the speaker.
        speakers = self.site.pids(f"speaker-{role}.conf")
        return [pid for pid in self.site.pids("relay.py") if parent(pid) in speakers]

    def guard(self) -> list[int]:
        """Pids of the guard's processes, which have nothing of the environment of others."""
        found = self.site.gateway.processes()
        return sorted(pid for pid, command in found.items() if "bgpsvc.guard" in command)

    def established(self) -> tuple[int, ...]:
        """How often each session has come up."""
        return tuple(peer.log.established for peer in self.peers.values())

    def version(self) -> str:
        """That of the running daemon."""
        return str(self.site.rest.get("/openapi.json")["info"]["version"])

    def until_right(self) -> None:
        """Until service and kernel hold everything, nothing is stale, and tunnel 1 carries."""
        wait_until(self._right, "all is right again", 3 * LONG)

    def _right(self) -> bool:
        # Between one daemon and the next nobody answers.
        with contextlib.suppress(OSError, httpx.TransportError):
            gateway, sessions = self.site.rest.gateway(), [self.site.rest.session(n) for n in (1, 2)]
            return (
                self.site.rest.http.get("/readyz").status_code == 200
                and gateway["status"] == "active"
                and gateway["routes_installed"] == len(ALL)
                and all(s["prefixes"]["accepted"] == COUNT + ONLY and s["end_of_rib"] for s in sessions)
                and not any(s["prefixes"]["stale"] for s in sessions)
                and self.site.rest.connection()["carrying"] == "conn1-tunnel1"
            )
        return False


def parent(pid: int) -> int:
    """Its parent, -1 if it has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])
    return -1


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """All 100,000 prefixes over both tunnels."""
    with Site() as site:
        site.configure(CONFIGURATION)
        site.options = ("--watchdog", str(PATIENCE))
        site.start("--keep-speakers")
        site.far.ip("route add local 21.0.0.0/8 dev lo")  # the second half of the prefixes
        # One peer restarts gracefully, the other one has never heard of it.
        options = {
            number: {
                "hold_time": HOLD_TIME,
                "graceful_restart": graceful_restart,
                "announce": table + END,
                "answer_refresh": table,
            }
            for number, table, graceful_restart in ((1, TABLES[1], 120), (2, TABLES[2], None))
        }
        with site.peer(1, **options[1]) as one, site.peer(2, **options[2]) as two:
            made = Lab(site, {1: one, 2: two})
            made.until_right()
            assert (site.kernel_routes(), site.kernel_routes(200)) == (ALL, set(ROUTES))
            yield made


@pytest.fixture
def traffic(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Pings to some of the prefixes during a test, of which none is lost; no route is touched meanwhile."""
    monitor = NetlinkMonitor(lab.site.gateway)
    nexthops = lab.site.nexthops()
    began = time.monotonic()
    with Pings(lab.site, PROBED) as pings:
        wait_until(lambda: len(pings.answered) > 64, "traffic", LONG)
        monitor.read()
        yield
        print(f"{request.node.name}: {time.monotonic() - began:.1f} s until all was right again")
        sent = pings.sent
        wait_until(lambda: pings.sent > sent + 100, "traffic afterwards", LONG)
    seen = monitor.read()
    monitor.close()
    assert pings.lost == 0
    assert not [name for name, _ in seen if name.endswith("route")], "no route was touched"
    assert lab.site.nexthops() == nexthops


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_daemon(lab: Lab, traffic: None, how: signal.Signals) -> None:
    """Killed: at once, and hung: as soon as it gave no sign of life for long, there is a new one."""
    before, speakers = lab.daemon(), lab.site.pids("launcher")
    established = lab.established()
    os.kill(before, how)
    wait_until(lambda: before not in lab.site.processes(), "it has ended", LONG)
    lab.until_right()
    assert lab.daemon() != before
    assert lab.site.pids("launcher") == speakers, "the speakers were adopted"
    assert lab.established() == established, "no session was reset"
    event = lab.site.rest.events("daemon.restarted")[-1]
    expected = "killed by SIGKILL" if how is signal.SIGKILL else f"no sign of life for {PATIENCE} s"
    assert expected in event["message"]


def test_the_watchdog_takes_the_daemon_with_it(lab: Lab, traffic: None) -> None:
    """Whoever starts it again finds the state directory free, and everything where it was."""
    before, established = lab.daemon(), lab.established()
    lab.site.stop(signal.SIGKILL)
    wait_until(lambda: before not in lab.site.processes(), "it has ended too", LONG)
    lab.site.start("--keep-speakers")
    lab.until_right()
    assert lab.established() == established


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 2), slice(0, 2)], ids=["one", "other", "both"])
def test_the_guard(lab: Lab, traffic: None, which: slice) -> None:
    before = lab.guard()
    killed = before[which]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    def again() -> bool:
        now = lab.guard()
        return len(now) == len(before) == 2 and not set(now) & set(killed)

    wait_until(again, "both processes of the guard", LONG)
    lab.until_right()


@pytest.mark.parametrize("role", ["active", "standby"])
def test_a_relay(lab: Lab, traffic: None, role: str) -> None:
    before, speaker, established = lab.relay(role), lab.speaker(role), lab.established()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: lab.relays(role) not in ([], [before]), "another one", LONG)
    lab.until_right()
    assert lab.speaker(role) == speaker
    assert lab.established() == established


@pytest.mark.parametrize(("number", "role"), [(1, "active"), (2, "standby")])
def test_a_speaker(lab: Lab, traffic: None, number: int, role: str) -> None:
    """Its session is reset; what came over it stays where it is until it comes again (RFC 4724)."""
    before, established = lab.speaker(role), lab.peers[number].log.established
    other = lab.peers[3 - number].log.established
    os.kill(before, signal.SIGKILL)
    lab.peers[number].wait_established(established + 1, LONG)
    lab.until_right()
    assert lab.speaker(role) != before
    assert lab.peers[3 - number].log.established == other


def test_hung_ones(lab: Lab, traffic: None) -> None:
    """A relay that does not read, and a speaker that does nothing at all: each is replaced."""
    relay, speaker, established = lab.relay("active"), lab.speaker("standby"), lab.established()
    os.kill(relay, signal.SIGSTOP)
    os.kill(speaker, signal.SIGSTOP)
    began = time.monotonic()
    wait_until(lambda: relay not in lab.site.processes(), "the relay was ended", LONG)
    print(f"relay ended after {time.monotonic() - began:.1f} s")
    wait_until(lambda: speaker not in lab.site.processes(), "the speaker was ended", LONG)
    print(f"speaker ended after {time.monotonic() - began:.1f} s")
    lab.peers[2].wait_established(established[1] + 1, LONG)
    lab.until_right()
    assert lab.established() == (established[0], established[1] + 1)
    assert {e["subject"] for e in lab.site.rest.events("speaker.hung")} == {"active", "standby"}
    down = lab.site.rest.events("speaker.down")[-1]
    assert down["subject"] == "standby"
    assert "said nothing for" in down["message"]
    checks = lab.site.rest.get("/readyz")["checks"]
    for role in ("active", "standby"):
        assert "said nothing for" in str(checks[f"speaker-{role}"]), "the reason is shown"


def another_version(directory: Path, version: str, **changes: tuple[str, str, str]) -> Path:
    """A copy of the service that says it is another version; `changes`: file, what it says, what it shall."""
    for name in ("bgpsvc", "api", "exabgp-conf"):
        # With the times of the files: what is compiled stays valid, but for what is being compiled right now.
        shutil.copytree(REPOSITORY / name, directory / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    for name, former, new in (("bgpsvc/__init__.py", __version__, version), *changes.values()):
        path = directory / name
        text = path.read_text()
        assert former in text
        path.write_text(text.replace(former, new))
    return directory


def upgrade(lab: Lab, directory: Path, *options: str) -> None:
    """Stop the daemon as for an upgrade, and start the version of that directory."""
    lab.site.stop()
    assert lab.site.daemon is not None
    assert lab.site.daemon.returncode == 0
    lab.site.start(*options, cwd=directory)
    lab.until_right()


def test_an_upgrade(lab: Lab, traffic: None, tmp_path: Path) -> None:
    speakers, established = lab.site.pids("launcher"), lab.established()
    upgrade(lab, another_version(tmp_path, "98.0.0"), "--keep-speakers")
    assert lab.version() == "98.0.0"
    assert lab.site.pids("launcher") == speakers
    assert lab.established() == established, "no session was reset"


def test_an_upgrade_that_speaks_otherwise_to_relays(lab: Lab, traffic: None, tmp_path: Path) -> None:
    """The former speakers are of no use to it. It replaces them, one after the other."""
    established = lab.established()
    protocol = ("bgpsvc/exabgp/relay.py", f"PROTOCOL = {PROTOCOL}", "PROTOCOL = 1000")
    directory = another_version(tmp_path, "99.0.0", protocol=protocol)
    upgrade(lab, directory)
    assert lab.version() == "99.0.0"
    assert lab.established() == tuple(times + 1 for times in established)
    log = lab.site.log_path.read_text()
    steps = ("ended the standby speaker", "session.up conn1-tunnel2", "ended the active speaker")
    at = [log.rindex(step) for step in steps]
    assert at == sorted(at), "the peer always has a session"


def test_a_wanted_stop_ends_everything(lab: Lab) -> None:
    """As without a watchdog. The last of these tests."""
    lab.site.stop(signal.SIGINT)
    assert lab.site.daemon is not None
    assert lab.site.daemon.returncode == 0
    assert lab.site.gateway.processes() == {}
    assert lab.site.kernel_routes() == ALL
    assert tunnel_of(lab.site, PROBED[0]) == "t1"
