"""Network namespaces without names, as in the tests, with what measuring needs on top."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.netns import namespaces


def wait_for(condition: Callable[[], bool], what: str, seconds: float, interval: float = 0.01) -> None:
    """Polls until the condition holds; TimeoutError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(interval)


class Namespace(namespaces.Namespace):
    """One network namespace with its loopback up; it ends with this process however this process ends."""

    def popen(self, words: Sequence[str], log: Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Starts a process inside with its output going to the file `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command(*words), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd
            )

    def ip_batch(self, lines: Sequence[str]) -> None:
        """Runs many commands of `ip` at once; AssertionError at the first that fails."""
        done = subprocess.run(
            self.command("ip", "-batch", "-"),
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"ip -batch failed: {done.stderr[:500]}")

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this namespace: it stays in the one that it was made in."""
        with self.entered():
            return socket.socket(family, kind, protocol)
