"""`bgpsvc lab run`: the whole scenario with real daemons, kernel and packets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.e2e.labs import REPOSITORY, LabCommand, Machine, namespaces_in_use
from tests.netns.namespaces import wait_until

STEPS = [
    "topology",
    "daemons",
    "sessions",
    "learned",
    "propagated",
    "ping",
    "active",
    "explained",
    "switchover",
    "failback",
    "propagation_off",
    "propagation_on",
]
IPSEC_STEPS = [
    *STEPS[:2],
    "make_vpcs",
    "make_vpn_gateways",
    "make_customer_gateways",
    "make_vpn_connections",
    "ipsec",
    "sessions",
    "make_propagation",
    "learned",
    "propagated",
    "ping",
    "protected",
    "active",
    "explained",
    "key_changed",
    "key_restored",
    *STEPS[8:],
]
"""Steps of a lab with IPsec tunnels, whose resources are made over REST."""
HOLD_TIME = 3


@contextmanager
def closing_lab(command: LabCommand) -> Iterator[LabCommand]:
    """Ends what is left of it afterwards."""
    try:
        yield command
    finally:
        command.clean_up()


@pytest.fixture
def lab() -> Iterator[LabCommand]:
    with closing_lab(LabCommand()) as command:
        yield command


@pytest.fixture
def users_lab() -> Iterator[LabCommand]:
    with closing_lab(LabCommand(ordinary_user=True)) as command:
        yield command


def check_walk(done: subprocess.CompletedProcess[str], tunnels: str) -> dict[str, Any]:
    """Every step held, and its figures can be true. Returns the figures by step."""
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["tunnels"] == tunnels
    assert [step["name"] for step in report["steps"]] == (IPSEC_STEPS if tunnels == "ipsec" else STEPS)
    assert {step["outcome"] for step in report["steps"]} == {"held"}
    figures = {step["name"]: step["figures"] for step in report["steps"]}
    # The tunnel is dead until the hold timer notices: something must be lost, and not for ever.
    assert 0.05 < figures["switchover"]["outage_seconds"] <= HOLD_TIME + 3
    assert figures["switchover"]["lost_packets"] > 5
    assert figures["failback"]["outage_seconds"] < 1
    if tunnels == "ipsec":
        assert 1300 < figures["ping"]["largest_packet_bytes"] < 1450
        # Requests and answers; nothing of them to be seen.
        assert figures["protected"]["esp_packets"] >= 100
        assert figures["protected"]["clear_text_packets"] == 0
        # The tunnel's end is known at once, to both gateways: nobody waits for the hold timer.
        if report["peer"] == "bgpsvc":
            assert figures["key_changed"]["outage_seconds"] < HOLD_TIME / 2
            assert figures["key_restored"]["outage_seconds"] < HOLD_TIME / 2
    else:
        assert figures["ping"]["largest_packet_bytes"] == 1450
    result: dict[str, Any] = {**figures, "report": report}
    return result


@pytest.mark.parametrize("peer", ["bgpsvc", "bird"])
def test_the_walk_holds_as_root_and_leaves_no_trace(peer: str) -> None:
    with Machine() as machine, closing_lab(LabCommand(machine=machine)) as lab:
        before = machine.state()
        found = check_walk(lab("run", "--json", "--peer", peer), "ipsec")
        assert found["report"]["rootless"] is False
        assert lab.processes() == {}
        assert machine.state() == before
        assert list(lab.runtime.iterdir()) == []


@pytest.mark.parametrize("peer", ["bgpsvc", "frr"])
def test_the_walk_holds_as_an_ordinary_user(users_lab: LabCommand, peer: str) -> None:
    found = check_walk(users_lab("run", "--json", "--peer", peer), "ipsec")
    assert found["report"]["rootless"] is True
    assert users_lab.processes() == {}
    assert list(users_lab.runtime.iterdir()) == []


def test_without_strongswan_the_tunnels_are_links_and_many_prefixes_arrive() -> None:
    with closing_lab(LabCommand(hidden="/usr/lib/ipsec")) as lab:
        done = lab("run", "--json", "--prefixes", "30000", timeout=280)
        assert "the tunnels are VXLAN links, not IPsec: strongSwan's charon is missing" in done.stderr
        found = check_walk(done, "vxlan")
        assert found["learned"]["prefixes_per_side"] == 30_002


def test_ipsec_that_was_asked_for_and_cannot_be_is_refused_with_what_is_missing() -> None:
    with closing_lab(LabCommand(hidden="/usr/lib/ipsec")) as lab:
        done = lab("run", "--tunnels", "ipsec")
        assert done.returncode == 2
        assert "no IPsec tunnels here: strongSwan's charon is missing" in done.stderr
        assert "--tunnels vxlan does without" in done.stderr
        assert lab.processes() == {}


def read_until(process: subprocess.Popen[str], start: str) -> None:
    """Reads progress until a line that begins so."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith(start):
            return
    pytest.fail(f"no line {start!r} in {seen}")


@pytest.mark.parametrize(("peer", "progress"), [("bird", "ok    hosts"), ("bgpsvc", "ok    ping")])
def test_a_killed_command_takes_its_lab_with_it(lab: LabCommand, peer: str, progress: str) -> None:
    with ExitStack() as held:
        with lab.popen("run", "--peer", peer) as process:
            read_until(process, progress)
            made = held.enter_context(lab.namespaces())
            assert len(made) >= 4  # mounts, process 1, both gateways
            process.kill()
        wait_until(lambda: not lab.processes(), "all processes have ended")
        assert not made & namespaces_in_use()


def test_interrupting_the_command_ends_the_lab(lab: LabCommand) -> None:
    with lab.popen("run", "--peer", "bird") as process:
        read_until(process, "ok    ping")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode not in (0, None)
    assert lab.processes() == {}
    assert list(lab.runtime.iterdir()) == []


def test_a_daemon_that_dies_fails_the_walk_with_its_name_and_logs(lab: LabCommand) -> None:
    with lab.popen("run", "--json", "--peer", "bird", "--tunnels", "vxlan", "--keep") as process:
        wait_until(lambda: bool(lab.servers()), "gateway 1 runs")
        for pid in lab.servers():
            os.kill(pid, signal.SIGKILL)
        output, messages = process.communicate(timeout=60)
    report = json.loads(output)
    assert process.returncode == 1
    assert report["ok"] is False
    (failed,) = [step for step in report["steps"] if step["outcome"] == "failed"]
    assert failed["expected"] == "all daemons keep running"
    assert failed["seen"] == "gw1 ended with status -9"
    assert set(report["logs"]) == {"gw1", "gw2-bird"}
    assert "<INFO> Started" in report["logs"]["gw2-bird"]
    assert "gw1 ended with status -9" in messages
    (kept,) = lab.runtime.iterdir()
    assert "protocol bgp tunnel1" in (kept / "gw2" / "bird.conf").read_text()
    assert (kept / "log" / "gw1.log").exists()


def test_a_kernel_that_forbids_user_namespaces_is_named_with_the_remedy(lab: LabCommand) -> None:
    # A user namespace of its own, in which no further one may be made, and without any capability.
    script = (
        'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set -all --inh-caps -all "$@"'
    )
    cage = ["unshare", "--user", "--map-root-user", "sh", "-ec", script, "sh"]
    done = subprocess.run(
        [*cage, *lab.argv("run")], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "namespaces cannot be made here" in done.stderr
    assert "sysctl -w user.max_user_namespaces=" in done.stderr
    assert lab.processes() == {}
