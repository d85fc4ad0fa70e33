"""The measured: BIRD and FRR started by hand, and this service as an operator runs it.

Each runs in a namespace of its own that already has its links, and nothing else runs there: all processes of
the namespace are the device's.
"""

from __future__ import annotations

import abc
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.bench import configurations
from tests.bench.configurations import Setup
from tests.bench.namespace import Namespace, wait_for
from tests.bench.usage import Usage, cpu_seconds, usage


class Device(abc.ABC):
    """Processes of one daemon, their log and what they use."""

    name = ""
    parts: Mapping[str, str] = MappingProxyType({})
    """What it consists of, by a word of the processes' command lines."""

    def __init__(self, namespace: Namespace, directory: Path, setup: Setup) -> None:
        """`directory` is private and empty."""
        self.namespace, self.directory, self.setup = namespace, directory, setup
        self.processes: list[subprocess.Popen[bytes]] = []
        self._output = directory / "output"

    @abc.abstractmethod
    def start(self) -> None:
        """Starts it. Returns before sessions are up."""

    def spawn(self, *words: str) -> None:
        """Starts a process inside, its output in `directory`/output."""
        self.processes.append(self.namespace.popen(words, self._output, self.directory))

    def log(self) -> str:
        """The last lines of all output."""
        if not self._output.exists():
            return "(no output)"
        return "\n".join(self._output.read_text(errors="replace").splitlines()[-20:])

    def check(self) -> None:
        """TimeoutError if a process has ended: nothing that is waited for will come."""
        for process in self.processes:
            if process.poll() is not None:
                raise TimeoutError(f"{self.name}: a process ended with status {process.returncode}")

    def usage(self) -> Usage:
        """Of all its processes, also those that they started."""
        return usage(self.namespace.processes())

    def by_part(self) -> dict[str, list[int]]:
        """The process ids of each part; of those that no word tells, under the device's own name."""
        found: dict[str, list[int]] = {}
        for pid, command in self.namespace.processes().items():
            part = next((part for word, part in self.parts.items() if word in command), self.name)
            found.setdefault(part, []).append(pid)
        return found

    def shares(self, seconds: float) -> dict[str, float]:
        """Share of one processor that each part uses over so many seconds."""
        parts = self.by_part()
        before, began = {part: cpu_seconds(pids) for part, pids in parts.items()}, time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - began
        return {part: (cpu_seconds(pids) - before[part]) / elapsed for part, pids in parts.items()}

    def share(self, seconds: float) -> float:
        """Share of one processor that all its processes together use over so many seconds."""
        return sum(self.shares(seconds).values())

    def wait_idle(self, seconds: float, most: float = 0.2, period: float = 1.0) -> None:
        """Until it uses less than `most` of one processor for a `period`; TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        while (used := self.share(period)) >= most:
            if time.monotonic() > deadline:
                raise TimeoutError(f"it still uses {used:.0%} of a processor after {seconds:g} s")

    def wait_steady(self, seconds: float, period: float = 5.0) -> None:
        """Until it uses no less of the processor than in the period before, but for a fifth."""
        deadline = time.monotonic() + seconds
        before = self.share(period)
        while (used := self.share(period)) < 0.8 * before and used > 0.01:
            if time.monotonic() > deadline:
                raise TimeoutError(f"its use of the processor still falls after {seconds:g} s")
            before = used

    def stop(self) -> None:
        """SIGTERM, and after 20 s SIGKILL, in the order started last first."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


class Bird(Device):
    """BIRD 2 with a kernel protocol that exports everything."""

    name = "bird"

    def start(self) -> None:
        """See the base."""
        config = self.directory / "bird.conf"
        config.write_text(configurations.bird(self.setup))
        self.spawn("bird", "-f", "-c", str(config), "-s", str(self.directory / "bird.ctl"))


class Frr(Device):
    """FRR's zebra and bgpd (and bfdd), each with its own file; they drop to the user frr."""

    name = "frr"

    def start(self) -> None:
        """See the base."""
        shutil.chown(self.directory, "frr", "frr")
        daemons = {"zebra": configurations.zebra}
        if self.setup.bfd:
            daemons["bfdd"] = configurations.bfdd
        daemons["bgpd"] = configurations.bgpd
        zapi = self.directory / "zserv.api"
        for daemon, text in daemons.items():
            config = self.directory / f"{daemon}.conf"
            config.write_text(text(self.setup))
            options = ["--bfdctl", str(self.directory / "bfdd.sock")] if daemon == "bfdd" else []
            self.spawn(
                f"/usr/lib/frr/{daemon}",
                *("-f", str(config), "-i", str(self.directory / f"{daemon}.pid"), "-z", str(zapi)),
                *("--vty_socket", str(self.directory), "-P", "0"),
                *("--log", "stdout", "--log-level", "warnings", *options),
            )
            wait_for(zapi.exists, "zebra's socket", 10)
            wait_for((self.directory / f"{daemon}.vty").exists, f"{daemon}'s socket", 10)


class Bgpsvc(Device):
    """This service: `bgpsvc serve`, the preferred tunnels being tunnel 1 of each connection."""

    name = "bgpsvc"
    parts = MappingProxyType({"launcher": "speakers", "relay.py": "relays", "guard": "guard"})

    def start(self) -> None:
        """See the base."""
        config = self.directory / "config.yaml"
        config.write_text(configurations.bgpsvc(self.setup))
        self.namespace.run("sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0")
        program = Path(sys.executable).with_name("bgpsvc")
        self.spawn(
            *(str(program), "serve", "--config", str(config)),
            *("--state-dir", str(self.directory / "state"), "--listen", f"unix:{self.api}"),
        )

    @property
    def api(self) -> Path:
        """The unix socket that REST is asked over."""
        return self.directory / "api.sock"


DEVICES: dict[str, Callable[[Namespace, Path, Setup], Device]] = {
    "bird": Bird,
    "frr": Frr,
    "bgpsvc": Bgpsvc,
}
