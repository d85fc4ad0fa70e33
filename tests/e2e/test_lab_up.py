"""A lab that keeps running: `up`, `status`, `fail`, `heal`, `exec`, `logs`, `down`."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.labs import LabCommand, namespaces_in_use
from tests.netns.namespaces import wait_until


@pytest.fixture(params=[False, True], ids=["root", "ordinary user"])
def lab(request: pytest.FixtureRequest) -> Iterator[LabCommand]:
    command = LabCommand(ordinary_user=request.param)
    yield command
    command.clean_up()


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """What is let go of when the test is over."""
    with ExitStack() as stack:
        yield stack


def pings(lab: LabCommand, host: str, address: str) -> bool:
    return lab("exec", host, "--", "ping", "-c1", "-W1", address).returncode == 0


def until_nothing_is_left(lab: LabCommand) -> None:
    # The process that waited for the lab's own init may end a little later than the command that ended it.
    wait_until(lambda: not lab.processes(), "all of them have ended", 10)


def url(lab: LabCommand, gateway: str) -> str:
    found = re.search(rf"REST +{gateway} (http\S+)", lab("status").stdout)
    assert found is not None
    return found[1]


def test_a_lab_is_used_from_up_to_down(lab: LabCommand, held: ExitStack) -> None:
    up = lab("up")
    assert up.returncode == 0, up.stderr
    assert f"\nOpen {url(lab, 'gw1')}/ in a browser" in up.stderr
    assert re.search(r"^Try:\n  bgpsvc lab exec ecs1 -- ping 192\.168\.0\.10 ", up.stderr, re.M)
    made = held.enter_context(lab.namespaces())
    with urllib.request.urlopen(url(lab, "gw1") + "/v1/bgp-sessions") as answer:
        sessions = json.load(answer)["items"]
    assert [session["id"] for session in sessions] == ["conn1-tunnel1", "conn1-tunnel2"]

    wait_until(lambda: pings(lab, "ecs1", "192.168.0.10"), "ecs1 reaches ecs3")
    # The pings need the first of the tunnels only.
    protected = re.compile(r"IPSEC    (\S+) \S+ ipsec_sa_established")
    wait_until(
        lambda: protected.findall(lab("status").stdout) == ["gw1", "gw1", "gw2", "gw2"],
        "both tunnels are established at both gateways",
    )
    # A broken tunnel stays silent: no answer from its far end, while the other still has one.
    assert pings(lab, "gw1", "169.254.10.2")
    assert lab("fail", "1").stderr == "tunnel 1 is broken\n"
    assert lab("fail", "1").stderr == "tunnel 1 was already broken\n"
    assert not pings(lab, "gw1", "169.254.10.2")
    assert pings(lab, "gw2", "169.254.20.1")
    assert re.search(r"1 active .* broken\n.* 2 standby .* passes packets", lab("status").stdout)
    wait_until(lambda: "CARRIES  gw1 conn1-tunnel2" in lab("status").stdout, "the standby carries")
    assert pings(lab, "ecs1", "192.168.0.10")
    assert lab("heal", "1").stderr == "tunnel 1 passes packets again\n"
    assert lab("heal", "1").stderr == "tunnel 1 was not broken\n"
    wait_until(lambda: "CARRIES  gw1 conn1-tunnel1" in lab("status").stdout, "the active carries")

    assert lab("exec", "gw2", "--", "sh", "-c", "exit 7").returncode == 7
    assert lab("exec", "gw3", "--", "true").returncode == 2
    assert "conn2-tunnel1" in lab("logs", "gw2", "-n", "1000").stdout
    assert lab("logs", "nobody").returncode == 2
    assert lab("up").returncode == 1

    assert lab("down").returncode == 0
    until_nothing_is_left(lab)
    assert list(lab.runtime.iterdir()) == []
    if not os.geteuid():
        assert not made & namespaces_in_use()
    assert lab("status").returncode == 1
    assert lab("down").stderr == "no lab 'default' was running\n"


def test_a_lab_whose_gateway_dies_at_the_start_is_shown_and_removed(lab: LabCommand) -> None:
    with lab.popen("up", "--peer", "bird") as process:
        wait_until(lambda: bool(lab.servers()), "gateway 1 runs")
        for pid in lab.servers():
            os.kill(pid, signal.SIGKILL)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "gw1 ended with status -9; the last lines of its log:" in messages
    until_nothing_is_left(lab)
    assert list(lab.runtime.iterdir()) == []


def test_two_labs_have_their_own_ports(lab: LabCommand) -> None:
    for name in ("one", "two"):
        assert lab("up", "--peer", "bird", "--tunnels", "vxlan", "--name", name).returncode == 0
    urls = {re.findall(r"http\S+", lab("status", "--name", name).stdout)[0] for name in ("one", "two")}
    assert len(urls) == 2
    assert lab("down", "--name", "one").returncode == 0
    assert lab("status", "--name", "two").returncode == 0
    assert lab("down", "--name", "two").returncode == 0
    until_nothing_is_left(lab)


def test_a_bad_name_is_refused_before_anything_starts(lab: LabCommand) -> None:
    done = lab("up", "--name", "../x")
    assert done.returncode == 2
    assert "cannot name a lab" in done.stderr
    assert lab.processes() == {}
