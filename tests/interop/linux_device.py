"""A Linux machine that is set up with the files of `bgpsvc peer-config`, and nothing else.

Nothing here knows of an address, a key or an AS: those are in the files.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.netns.namespaces import Namespace, wait_until

FRR = "/usr/lib/frr"
LONG = 400.0
"""Deadline of what takes seconds: the processors may be emulated."""


class LinuxDevice:
    """What is done in `namespace` with the files below `files`. Use as a context manager.

    `directory` has what the daemons need; not deep, for the path of a unix socket has 107 bytes at the most.
    """

    def __init__(self, namespace: Namespace, files: Path, directory: Path) -> None:
        self.namespace = namespace
        self.files = files
        self.directory = directory
        self._stack = ExitStack()

    def __enter__(self) -> LinuxDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def tunnels(self, word: str) -> None:
        """Run the script with `up` or `down`."""
        (script,) = (self.files / "usr/local/sbin").iterdir()
        self.namespace.run("sh", str(script), word)

    def load_into_charon(self, socket: Path) -> None:
        """`swanctl --load-all`, with the file where it belongs: bound there, as the machine is shared."""
        place = f"mount --bind {self.files}/etc/swanctl/conf.d /etc/swanctl/conf.d"
        load = f"exec swanctl --load-all --uri unix://{socket}"
        self.namespace.run("unshare", "-m", "sh", "-ec", f"{place}; {load}")

    def start_bgp(self) -> None:
        """FRR or BIRD, whichever the files are for."""
        if (self.files / "etc/frr/frr.conf").exists():
            self._start_frr()
        else:
            self._start_bird()

    def _start_frr(self) -> None:
        # Not below a directory of root's alone: they run as another user.
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bgpsvc-frr-")))
        shutil.chown(home, "frr", "frr")
        for daemon in ("zebra", "bfdd", "bgpd"):
            options = ["--bfdctl", f"{home}/bfdd.sock"] if daemon == "bfdd" else []
            self._spawn(
                *(f"{FRR}/{daemon}", "-f", "/dev/null", "-i", f"{home}/{daemon}.pid"),
                *("-z", f"{home}/zserv.api", "--vty_socket", str(home), "-P", "0"),
                *("--log", "stdout", *options),
            )
            wait_until((home / f"{daemon}.vty").exists, f"{daemon} is up: {self.said()}", LONG)
        self.namespace.run("vtysh", "--vty_socket", str(home), "-f", f"{self.files}/etc/frr/frr.conf")

    def _start_bird(self) -> None:
        control, config = self.directory / "bird.ctl", self.files / "etc/bird/bird.conf"
        pid = self.directory / "bird.pid"
        self._spawn("bird", "-f", "-c", str(config), "-s", str(control), "-P", str(pid))
        wait_until(control.exists, f"BIRD is up: {self.said()}", LONG)

    def _spawn(self, *command: str) -> None:
        with (self.directory / "output").open("ab") as output:
            process = subprocess.Popen(
                self.namespace.command(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._stack.callback(_end, process)

    def sends_through(self, destination: str) -> str:
        """The interface that a packet to an address leaves by, empty if there is none."""
        words = self.namespace.run("ip", "route", "get", destination, check=False).split()
        return words[words.index("dev") + 1] if "dev" in words else ""

    def said(self) -> str:
        """What its daemons said last, and its routes."""
        path = self.directory / "output"
        told = path.read_text(errors="replace").splitlines()[-40:] if path.exists() else []
        return "\n".join([*told, self.namespace.ip("route")])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(LONG)
