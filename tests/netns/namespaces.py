"""Anonymous network namespaces for tests: held by a file descriptor, gone with it, whatever happens.

No name, no mount, no holder process: the kernel drops a namespace, its links and its routes when the
last descriptor and process in it are gone, also if the test run is killed. Whoever lets go of one ends what
still runs in it: charons of a daemon that was killed would keep it for ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

# The kernel tells of a lost carrier at once if a veth's ends have different interface indexes, and
# up to a second later if they happen to be equal (it takes the device for one without a peer).
_INDEXES = itertools.count(1000)
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> None:
    if getattr(_LIBC, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)} (the tests of this folder need root)")


class Namespace:
    """A new network namespace with its loopback up."""

    def __init__(self) -> None:
        opened: list[int] = []
        failures: list[OSError] = []

        def make() -> None:
            # In a thread of its own, which ends: no other thread ever leaves its namespace.
            try:
                _call("unshare", _CLONE_NEWNET)
                opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                failures.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        self.fd = opened[0]
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        try:
            self.ip("link set lo up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what still runs in the namespace, and let go of it."""
        self.end_processes()
        os.close(self.fd)

    def processes(self) -> dict[int, str]:
        """Living processes that are in the namespace: pid to command line."""
        here = os.fstat(self.fd).st_ino
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it ended meanwhile
                    if (entry / "ns/net").stat().st_ino == here and _runs(entry):
                        text = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                        found[int(entry.name)] = text.decode(errors="replace").strip()
        return found

    def end_processes(self) -> None:
        """End all of them by force, those too that they start meanwhile."""
        while found := self.processes().keys() - {os.getpid()}:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have the calling thread in the namespace: sockets made meanwhile stay in it."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", self.fd, _CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", home, _CLONE_NEWNET)
        finally:
            os.close(home)

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs a program in the namespace."""
        return ["nsenter", f"--net={self.path}", *arguments]

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run a program in the namespace; its output. CalledProcessError shows both streams if it fails."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(arguments)} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def ip(self, arguments: str) -> str:
        """Run `ip` with arguments as one would type them; its output."""
        return self.run("ip", *arguments.split())

    def sysctl(self, name: str, value: int) -> None:
        """Write a sysctl of the namespace, named as in /proc/sys."""
        self.run("sh", "-c", f"echo {value} > /proc/sys/{name}")

    def veth(self, name: str, other: Namespace, other_name: str, addresses: Sequence[str] = ()) -> None:
        """A cable to another namespace, up at both ends; the addresses are of this end."""
        self.ip(f"link add {name} index {next(_INDEXES)} type veth peer name {other_name} netns {other.path}")
        for address in addresses:
            self.ip(f"addr add {address} dev {name} {'nodad' if ':' in address else ''}")
        other.ip(f"link set {other_name} up")
        self.ip(f"link set {name} up")


def _runs(process: Path) -> bool:
    return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], object], what: str | Callable[[], str], seconds: float = 60) -> None:
    """Poll a condition until it holds; AssertionError with `what`, asked only then, if it does not in time.

    Between two looks there is twice the time that one takes, as far as nothing short-lived is missed: what is
    waited for needs the processors too, and so do the tests beside it.
    """
    began = time.monotonic()
    deadline = began + seconds
    while not condition():
        ended = time.monotonic()
        if ended > deadline:
            raise AssertionError(f"not in {seconds} s: {what if isinstance(what, str) else what()}")
        time.sleep(min(max(0.01, 2 * (ended - began)), 0.2))
        began = time.monotonic()
