"""Network namespaces without names: a holder process keeps each alive, and they vanish with this process."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def wait_for(condition: Callable[[], bool], what: str, seconds: float, interval: float = 0.01) -> None:
    """Polls until the condition holds; TimeoutError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(interval)


class Namespace:
    """One network namespace with its loopback up.

    The holder reads from a pipe of ours, so it ends with this process however this process ends.
    """

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        own = os.readlink("/proc/self/ns/net")
        self.path = f"/proc/{self._holder.pid}/ns/net"
        wait_for(lambda: os.readlink(self.path) != own, "a network namespace", 5)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """Process id of the holder, which names the namespace to `ip link ... netns PID`."""
        return self._holder.pid

    def command(self, *words: str) -> list[str]:
        """The words to run a command inside."""
        return ["nsenter", f"--net={self.path}", "--", *words]

    def run(self, *words: str) -> str:
        """Runs a command inside, returns its output; CalledProcessError if it fails."""
        return subprocess.run(self.command(*words), check=True, capture_output=True, text=True).stdout

    def popen(self, words: Sequence[str], log: Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Starts a process inside with its output going to the file `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command(*words), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd
            )

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this namespace. A socket keeps the namespace it was made in, so a thread goes there."""
        result: list[Any] = []

        def make() -> None:
            with open(self.path) as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    result.append(OSError(ctypes.get_errno(), "setns"))
                    return
            result.append(socket.socket(family, kind, protocol))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(result[0], OSError):
            raise result[0]
        made: socket.socket = result[0]
        return made

    def close(self) -> None:
        """Ends the holder; the kernel frees the namespace with its last process and socket."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(timeout=10)


def connect(left: Namespace, right: Namespace, link: str, addresses: tuple[str, str]) -> None:
    """A veth pair called `link` on both sides, addressed and up."""
    pair = ["ip", "link", "add", link, "netns", str(left.pid), "type", "veth"]
    subprocess.run([*pair, "peer", "name", link, "netns", str(right.pid)], check=True)
    for namespace, address in zip((left, right), addresses, strict=True):
        namespace.run("ip", "address", "add", address, "dev", link)
        namespace.run("ip", "link", "set", link, "up")
