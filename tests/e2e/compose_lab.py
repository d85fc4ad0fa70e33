"""The containers of compose.yaml for tests, and the commands that the documentation gives for them.

    with compose_lab() as lab:                # built, up, all healthy; gone afterwards
        lab.check("exec", "-T", "gw1", "bgpsvc", "show", "bgp", "summary")
        lab.link("gw1")                       # the address of gateway 1's dashboard, signed in

The networks have the addresses of the scenario, so there is one lab at a time on a machine: `compose_lab`
waits for its turn, and takes away what a run that was killed has left. Tests share it as the fixture `lab` of
tests/browser/compose, which is one unit for one worker.

`lab.shim(folder)` makes a command `docker` for the front of a PATH, whose `docker compose ARGUMENTS` is for
that lab, with whichever Compose there is (`main` below), so that the documentation's lines run unchanged.
After a `docker compose down -v` there is no lab any more, until the next `docker compose up -d --wait`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from bgpsvc.lab.launch import listen
from tests.netns.namespaces import wait_until

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "bgpsvctest"
PAGE_GATEWAY, PAGE_NETWORK = "site-gateway", "site"
LOCK = Path("/run/bgpsvc-compose-lab.lock")
SERVICES = ("gw1", "gw2", "ecs1", "ecs3")
GATEWAYS = SERVICES[:2]
PORTS = range(28179, 28979)
"""Of the host's loopback; not among those that the kernel gives to outgoing connections."""
TURN_SECONDS = 1500
BUILD_SECONDS = 900
HEALTHY_SECONDS = 180
SWITCHOVER_SECONDS = 45
FAILBACK_SECONDS = 90
SUMMARY = ("bgpsvc", "show", "bgp", "summary")


def compose_command() -> list[str]:
    """`docker compose`, else the Compose of the environment, else the machine's; [] without an engine."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return []
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    beside = Path(sys.executable).with_name("docker-compose")
    found = str(beside) if beside.exists() else shutil.which("docker-compose")
    return [found] if found else []


def _setting(gateway: str) -> str:
    """The variable of compose.yaml with the port of a gateway."""
    return f"BGPSVC_{gateway.upper()}_PORT"


def free_ports() -> dict[str, str]:
    """The variables with a port for each gateway that nobody has."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(listen(PORTS)) for _ in GATEWAYS]
        return {
            _setting(name): str(sock.getsockname()[1]) for name, sock in zip(GATEWAYS, sockets, strict=True)
        }


class ComposeLab:
    """The project of compose.yaml under a name and ports of its own.

    `settings`: the variables that Compose gets; `urls`: where a browser finds each gateway.
    """

    def __init__(self, command: Sequence[str], settings: Mapping[str, str]) -> None:
        self.command = tuple(command)
        self.settings = {"COMPOSE_PROJECT_NAME": PROJECT, **settings}
        self.urls = {name: f"http://127.0.0.1:{settings[_setting(name)]}" for name in GATEWAYS}

    def run(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs compose with these words; the result may be a failure."""
        argv = [*self.command, *words]
        variables = {**os.environ, **self.settings}
        return subprocess.run(argv, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=seconds)

    def check(self, *words: str, seconds: float = 60) -> str:
        """Output of compose with these words, which must succeed."""
        result = self.run(*words, seconds=seconds)
        assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
        return result.stdout

    def up(self) -> None:
        """As `up -d --wait`, with a Compose that has no `--wait` too."""
        self.check("up", "-d", seconds=180)
        wait_until(
            lambda: all(self.inspect(s, ".State.Health.Status") == "healthy" for s in SERVICES),
            lambda: f"healthy: {self.run('ps').stdout}{self.run('logs', '--tail=40').stdout}",
            HEALTHY_SECONDS,
        )

    def down(self) -> None:
        """Take everything away, as far as it is there."""
        self.check("down", "--volumes", "--remove-orphans", "--timeout", "5", seconds=120)
        # What docs/how-to/containers.md makes beside it, if one of the page's commands failed.
        for kind in (("container", "rm", "--force"), ("network", "rm"), ("volume", "rm")):
            name = PAGE_NETWORK if kind[0] == "network" else PAGE_GATEWAY
            subprocess.run(["docker", *kind, name], capture_output=True, timeout=60)

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

    def until_says(self, service: str, text: str, *words: str, status: int = 0) -> None:
        """Until a command inside a service, which changes nothing, ends with the status and says a text."""

        def says() -> bool:
            nonlocal done
            done = self.exec(service, *words)
            return done.returncode == status and text in done.stdout

        done: subprocess.CompletedProcess[str] | None = None
        wait_until(says, lambda: f"{text!r}: {done}")

    def established(self, gateway: str) -> int:
        """Sessions that the documented command shows as Established."""
        summary = self.output(gateway, *SUMMARY)
        found = re.search(r"Total number of neighbors 2, established (\d)", summary)
        assert found is not None, summary
        return int(found[1])

    def link(self, gateway: str, *options: str) -> str:
        """What `bgpsvc dashboard` prints there."""
        return self.output(gateway, "bgpsvc", "dashboard", *options).strip()

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

    def until_carrying(self, gateway: str, tunnel: str, established: int, seconds: float) -> None:
        """Until a gateway sends over a tunnel, by its packet counters, with so many sessions established."""
        wait_until(
            lambda: self.established(gateway) == established and self.carrying(gateway) == tunnel,
            lambda: f"{gateway} sends over {tunnel}: {self.output(gateway, *SUMMARY)}",
            seconds,
        )

    def shim(self, folder: Path) -> None:
        """A command `docker` in a folder, for the front of a PATH: its `compose` is this lab's."""
        # On the path of now, where `docker` is not yet this one.
        variables = {"PATH": os.environ["PATH"], **self.settings}
        settings = shlex.join(f"{name}={value}" for name, value in variables.items())
        text = f"""#!/bin/sh
[ "$1" = compose ] || exec {shutil.which("docker")} "$@"
shift
cd {ROOT} && exec env {settings} {sys.executable} -m tests.e2e.compose_lab "$@"
"""
        path = folder / "docker"
        path.write_text(text)
        path.chmod(0o755)


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Until nobody else on this machine has a lab of the tests."""
    with LOCK.open("w") as file:

        def mine() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_until(mine, f"another test run lets go of {LOCK}", TURN_SECONDS)
        yield


@contextlib.contextmanager
def compose_lab(command: Sequence[str] | None = None) -> Iterator[ComposeLab]:
    """The lab, built from the checkout, up and healthy. AssertionError if there is no engine."""
    lab = ComposeLab(compose_command() if command is None else command, free_ports())
    assert lab.command, "no container engine with Compose"
    with turn():
        lab.down()
        try:
            lab.check("build", seconds=BUILD_SECONDS)
            lab.up()
            yield lab
        finally:
            lab.down()


def main(words: Sequence[str]) -> int:
    """`docker compose` as documented; where Compose does not know `--wait`, it is waited for here."""
    lab = ComposeLab(compose_command(), {_setting(name): os.environ[_setting(name)] for name in GATEWAYS})
    old = lab.run("version", "--short").stdout.strip().startswith("1.")
    if old and "--wait" in words:
        lab.check(*(word for word in words if word != "--wait"), seconds=180)
        lab.up()
        return 0
    given = list(words)
    if given[:1] == ["exec"] and not sys.stdin.isatty() and "-T" not in given:
        given.insert(1, "-T")  # a terminal is what a reader has, and a test has not
    return subprocess.run([*lab.command, *given], cwd=ROOT, env={**os.environ, **lab.settings}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
