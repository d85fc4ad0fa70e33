"""The containers as the README describes them: up, two sessions, ping; a dead tunnel, and back.

Everything is asked from outside: by the documented commands, by ping, and by the interfaces' packet counters.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEALTHY_SECONDS = 120
SWITCHOVER_SECONDS = 45
FAILBACK_SECONDS = 90
SUMMARY = ("bgpsvc", "show", "bgp", "summary")
SERVICES = ("gw1", "gw2", "ecs1", "ecs3")


def compose_command() -> list[str]:
    """`docker compose`, or docker-compose where the engine is too old for it; [] without an engine."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return []
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


class Compose:
    """The project of compose.yaml under a name of its own."""

    def __init__(self, command: list[str]) -> None:
        self._command = [*command, "--project-name", f"bgpsvctest{os.getpid()}"]

    def run(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs compose with these words; the result may be a failure."""
        command = [*self._command, *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)

    def check(self, *words: str, seconds: float = 60) -> str:
        """Output of compose with these words, which must succeed."""
        result = self.run(*words, seconds=seconds)
        assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
        return result.stdout

    @cached_property
    def containers(self) -> dict[str, str]:
        """Container of each service. Asking the engine itself is ten times faster than asking compose."""
        return {service: self.check("ps", "-q", service).strip() for service in SERVICES}

    def inspect(self, service: str, what: str) -> str:
        """A field of a service's container, as a Go template names it."""
        words = ["docker", "inspect", "--format", f"{{{{{what}}}}}", self.containers[service]]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    def exec(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command inside a service; the result may be a failure."""
        command = ["docker", "exec", self.containers[service], *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def output(self, service: str, *words: str) -> str:
        """Output of a command inside a service, which must succeed."""
        result = self.exec(service, *words)
        assert result.returncode == 0, f"{service}: {words}: {result.stdout}{result.stderr}"
        return result.stdout

    def ping(self, count: int = 1) -> bool:
        """True if every echo request of ecs1 to ecs3 is answered within a second."""
        words = ("ping", "-c", str(count), "-i", "0.05", "-W", "1", "192.168.0.10")
        return self.exec("ecs1", *words).returncode == 0

    def sent_packets(self, service: str) -> dict[str, int]:
        """Packets that a gateway has sent over each tunnel."""
        links = json.loads(self.output(service, "ip", "-json", "-statistics", "link"))
        tunnels = [link for link in links if "-tunnel" in link["ifname"]]
        return {link["ifname"]: link["stats64"]["tx"]["packets"] for link in tunnels}

    def carrying(self, service: str) -> str | None:
        """The tunnel interface over which a gateway sends the packets of 20 pings; None if one is lost."""
        before = self.sent_packets(service)
        if not self.ping(count=20):
            return None
        after = self.sent_packets(service)
        return max(before, key=lambda name: after[name] - before[name])


def eventually(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Polls until the condition holds; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    command = compose_command()
    if not command:
        pytest.skip("no container engine with compose")
    project = Compose(command)
    try:
        project.check("build", seconds=900)
        project.check("up", "-d", seconds=180)
        eventually(
            lambda: all(project.inspect(s, ".State.Health.Status") == "healthy" for s in SERVICES),
            HEALTHY_SECONDS,
            lambda: f"not healthy: {project.run('ps').stdout}{project.run('logs', '--tail=40').stdout}",
        )
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "5", seconds=120)


# Building the image counts into the first test's time.
pytestmark = pytest.mark.timeout(1200)


def established(compose: Compose, gateway: str) -> int:
    """Sessions that the documented command shows as Established."""
    summary = compose.output(gateway, *SUMMARY)
    found = re.search(r"Total number of neighbors 2, established (\d)", summary)
    assert found is not None, summary
    return int(found[1])


def test_documented_commands_show_two_sessions_and_a_way_through(compose: Compose) -> None:
    assert "established 2" in compose.check("exec", "-T", "gw1", *SUMMARY)
    assert " 0% packet loss" in compose.check("exec", "-T", "ecs1", "ping", "-c", "3", "192.168.0.10")
    assert established(compose, "gw2") == 2
    for service, tunnel in (("gw1", "conn1-tunnel1"), ("gw2", "conn2-tunnel1")):
        eventually(  # a machine that stood still for the detection time has failed over, and is coming back
            lambda service=service, tunnel=tunnel: compose.carrying(service) == tunnel,  # type: ignore[misc]
            FAILBACK_SECONDS,
            lambda service=service: compose.output(service, *SUMMARY),  # type: ignore[misc]
        )


def test_no_container_is_privileged_and_the_host_has_no_route_of_theirs(compose: Compose) -> None:
    for service in SERVICES:
        assert compose.inspect(service, ".HostConfig.Privileged") == "false"
    routes = Path("/proc/net/route").read_text()
    assert "0000A8C0" not in routes  # 192.168.0.0, as the kernel writes it
    assert "006433C6" not in routes  # 198.51.100.0


def test_only_ike_and_esp_come_in_from_the_other_gateway(compose: Compose) -> None:
    (uplink,) = json.loads(compose.output("gw1", "ip", "-json", "address", "show", "to", "198.51.100.1"))
    listen = f"python -m bgpsvc.lab.wire --seconds 3 --link {uplink['ifname']} --inner 10.0.0.10,192.168.0.10"
    command = ["docker", "exec", compose.containers["gw1"], *listen.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        while listener.poll() is None:  # whenever it begins to listen, and as long as it does
            assert compose.ping(count=20)
        seen = json.loads(listener.communicate(timeout=60)[0])
    assert seen["esp"] > 0
    assert seen["clear"] == 0, seen["example"]


def test_the_key_of_a_tunnel_is_closed_to_others_and_shown_nowhere(compose: Compose) -> None:
    key = compose.output("gw1", "cat", "/keys/tunnel1").strip()
    assert key == compose.output("gw2", "cat", "/keys/tunnel1").strip()
    assert compose.output("gw1", "stat", "--format=%a", "/keys/tunnel1").strip() == "600"
    assert key not in compose.output("gw1", "bgpsvc", "export") + compose.check("logs")
    assert key not in compose.output("gw1", "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")


def test_broken_tunnel_moves_traffic_to_the_standby_and_back(compose: Compose) -> None:
    compose.check("exec", "-T", "gw1", "/lab/tunnel", "break", "1")
    eventually(  # BFD is faster than anybody who would look for a gap
        lambda: compose.carrying("gw1") == "conn1-tunnel2",
        SWITCHOVER_SECONDS,
        lambda: compose.output("gw1", *SUMMARY),
    )
    eventually(
        # BFD ends no session: that is left to the hold time.
        lambda: established(compose, "gw1") == 1 and compose.carrying("gw2") == "conn2-tunnel2",
        SWITCHOVER_SECONDS,
        lambda: compose.output("gw1", *SUMMARY),
    )
    assert compose.ping()

    compose.check("exec", "-T", "gw1", "/lab/tunnel", "heal", "1")
    eventually(
        lambda: established(compose, "gw1") == 2 and compose.carrying("gw1") == "conn1-tunnel1",
        FAILBACK_SECONDS,
        lambda: compose.output("gw1", *SUMMARY),
    )


def test_propagation_off_takes_the_way_away_and_on_brings_it_back(compose: Compose) -> None:
    compose.check("exec", "-T", "gw1", "bgpsvc", "propagate", "off", "gw1")
    eventually(lambda: not compose.ping(), 15, lambda: "the hosts still reach each other")
    assert established(compose, "gw1") == 2
    compose.check("exec", "-T", "gw1", "bgpsvc", "propagate", "on", "gw1")
    eventually(compose.ping, 15, lambda: compose.output("gw1", "bgpsvc", "get", "gateways"))
