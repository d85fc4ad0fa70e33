"""A running lab seen from the host: run commands in it, break and heal its tunnels, look at its kernel state.

Everything here asks the kernel or runs a program in the lab's namespaces; nothing is believed because a
daemon says so. What the daemons say is read over REST, in `bgpsvc.lab.client`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bgpsvc.lab import strongswan
from bgpsvc.lab.daemons import DETACH, LOG_DIR, RUN_DIR, LabSpec, charon_directory
from bgpsvc.lab.topology import FAIL_RULE_PRIORITY, GATEWAYS, GW2, TUNNELS, Gateway, fail_rules

STOP_SECONDS = 8.0


class CommandFailed(Exception):
    """A command in the lab failed; the text has the command and what it printed."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets of a tunnel's interface since it was made."""

    sent: int
    received: int


@dataclass(slots=True)
class Lab:
    """`pid` is the host's number of the lab's process 1; `process` its parent, if this process started it.

    `keys`: the tunnels' pre-shared keys, known to the process that started it alone.
    """

    pid: int
    rootless: bool
    spec: LabSpec
    ports: dict[str, int]
    process: subprocess.Popen[str] | None = field(default=None, repr=False)
    keys: dict[int, str] = field(default_factory=dict, repr=False)

    @property
    def root(self) -> Path:
        """The lab's file system as the host can reach it."""
        return Path(f"/proc/{self.pid}/root")

    def url(self, gateway: str) -> str:
        """Where a gateway's REST surface is, as the host can reach it."""
        return f"http://127.0.0.1:{self.ports[gateway]}"

    def command(self, host: str, argv: list[str]) -> list[str]:
        """The command line that runs `argv` in a host of the lab, from outside."""
        # --preserve-credentials: within the user namespace we are root already, and may not call setgroups().
        user = ["--user", "--preserve-credentials"] if self.rootless else []
        net = f"--net={self.root}/run/netns/{host}"
        where = [f"--target={self.pid}", *user, "--mount", "--pid", net]
        return [self.spec.programs["nsenter"], *where, "--", *argv]

    def run(self, host: str, *argv: str, text: str = "", timeout: float = 60.0) -> str:
        """Standard output of a command in a host, which reads `text`.

        Raises CommandFailed if it fails or takes too long.
        """
        try:
            done = subprocess.run(
                self.command(host, list(argv)),
                input=text,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"{' '.join(argv)} on {host} takes longer than {timeout:.0f} s") from None
        if done.returncode:
            raise CommandFailed(f"{' '.join(argv)} on {host}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def ip(self, host: str, *argv: str) -> Any:
        """`ip -json` in a host, parsed."""
        return json.loads(self.run(host, self.spec.programs["ip"], "-json", *argv) or "[]")

    def fail(self, tunnel: int) -> bool:
        """Drops the tunnel's packets between the gateways, silently. False if it is broken already."""
        return tunnel not in self.failed() and self._rules("add", tunnel)

    def heal(self, tunnel: int) -> bool:
        """Lets the tunnel's packets through again. False if it was not broken."""
        return tunnel in self.failed() and self._rules("del", tunnel)

    def failed(self) -> list[int]:
        """The broken tunnels, as `inet`'s policy rules have it."""
        rules = self.ip("inet", "rule", "show", "pref", str(FAIL_RULE_PRIORITY))
        sources = {rule["src"] for rule in rules}
        return [t for t in TUNNELS if any(gateway.public[t - 1] in sources for gateway in GATEWAYS)]

    def counters(self, gateway: Gateway, tunnel: int) -> Counters:
        """Packet counters of a tunnel at a gateway."""
        stats = self._link(gateway, tunnel)["stats64"]
        return Counters(sent=stats["tx"]["packets"], received=stats["rx"]["packets"])

    def mtu(self, tunnel: int) -> int:
        """The largest IP packet that both ends of a tunnel take, in bytes."""
        return min(int(self._link(gateway, tunnel)["mtu"]) for gateway in GATEWAYS)

    def _link(self, gateway: Gateway, tunnel: int) -> Any:
        return self.ip(gateway.name, "-s", "link", "show", "dev", self.spec.interface(gateway, tunnel))[0]

    def routes(self, gateway: str, table: int) -> dict[str, str]:
        """IPv4 and IPv6 routes of a kernel table: destination, and the rest of the line of its best route.

        A table that nobody has put a route in yet is empty.
        """
        result: dict[str, str] = {}
        for family in ("-4", "-6"):
            command = [self.spec.programs["ip"], family, "-N", "route", "show", "table", str(table)]
            try:
                text = self.run(gateway, *command)
            except CommandFailed as failure:
                if "FIB table does not exist" not in str(failure):
                    raise
                continue
            # The kernel lists routes to one destination by metric, the best first.
            for line in text.splitlines():
                destination, _, rest = line.partition(" ")
                result.setdefault(destination, rest)
        return result

    def load_connections(self) -> None:
        """Tells the plain strongSwan of gateway 2 its connections and keys, which no file keeps."""
        for tunnel, key in self.keys.items():
            command = strongswan.load(self.spec.programs, charon_directory(tunnel))
            self.run(GW2.name, *command, text=strongswan.connection(tunnel, key))

    def daemons(self) -> dict[str, dict[str, Any]]:
        """Each daemon's `pid` (in the lab), `host`, `log`, and `exit` status if it has ended."""
        text = (self.root / RUN_DIR.relative_to("/") / "daemons.json").read_text()
        result: dict[str, dict[str, Any]] = json.loads(text)
        return result

    def log_tail(self, daemon: str, lines: int = 20) -> str:
        """The last lines of a daemon's log."""
        path = self.root / LOG_DIR.relative_to("/") / f"{daemon}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])

    def save(self, directory: Path) -> None:
        """Copies configurations and logs out of the lab."""
        source = self.root / RUN_DIR.relative_to("/")
        for path in sorted(source.rglob("*")):
            # Sockets and pipes cannot be copied.
            if path.is_file() and not path.is_symlink():
                target = directory / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def detach(self) -> None:
        """Lets the lab outlive this process, which forgets it."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.write(DETACH.decode())
            self._close_streams(self.process)
            # It is the lab's from here on; Popen would complain that nobody waited for it.
            self.process.returncode = 0
            self.process = None

    def stop(self) -> None:
        """Ends the daemons in good order, then everything. Returns when the lab is gone."""
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                if not select.select([handle], [], [], STOP_SECONDS)[0]:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [])
            finally:
                os.close(handle)
        if self.process is not None:
            self._close_streams(self.process)
            self.process.wait()

    @staticmethod
    def _close_streams(process: subprocess.Popen[str]) -> None:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def _rules(self, action: str, tunnel: int) -> bool:
        for selector in fail_rules(tunnel):
            self.run("inet", self.spec.programs["ip"], "rule", action, *selector.split())
        return True
