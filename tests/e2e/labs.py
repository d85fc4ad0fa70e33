"""Running `bgpsvc lab` from tests: as root, as an ordinary user, and finding what it left behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.e2e.marked import marked, new_mark

REPOSITORY = Path(__file__).resolve().parents[2]
ORDINARY_UID = 54321
KINDS = ("net", "mnt")
TUN = Path("/dev/net/tun")
OF_OTHERS = re.compile(r" /(?:var/lib/docker|run/docker)/| /run/netns/(?!other )")
"""Mounts of others: a container engine's, and names of network namespaces from before /run was covered."""
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def as_ordinary_user(argv: list[str]) -> list[str]:
    """A command line that runs `argv` without any privilege, as a user that the machine does not know.

    The interpreter and the checkout may lie in a directory that only root may enter. Then, in a mount
    namespace of its own, that directory is replaced by one with nothing but them. There `/dev/net/tun` is
    open to everybody, as udev makes it on every distribution; without udev only root may open it.
    """
    if os.geteuid():
        return argv
    closed: dict[Path, set[Path]] = {}
    for path in {Path(sys.base_prefix), Path(sys.prefix), REPOSITORY}:
        barred = [parent for parent in reversed(path.parents) if not parent.stat().st_mode & 1]
        if barred:
            closed.setdefault(barred[0], set()).add(path)
    script = ["set -e", "mount -t tmpfs -o mode=755 stash /mnt"]
    if TUN.exists() and TUN.stat().st_mode & 0o6 != 0o6:
        script.append(f"mknod -m 666 /mnt/tun c 10 200; mount --bind /mnt/tun {TUN}")
    for number, (barred_directory, paths) in enumerate(closed.items()):
        kept = {path: f"/mnt/{number}-{index}" for index, path in enumerate(sorted(paths))}
        script += [f"mkdir {at}; mount --bind {shlex.quote(str(path))} {at}" for path, at in kept.items()]
        script.append(f"mount -t tmpfs -o mode=755 front {shlex.quote(str(barred_directory))}")
        for path, at in kept.items():
            quoted = shlex.quote(str(path))
            script.append(f"mkdir -p {quoted}; mount --bind {at} {quoted}")
    who = f"setpriv --reuid {ORDINARY_UID} --regid {ORDINARY_UID} --clear-groups"
    script.append(f'exec {who} env -u HOME -u XDG_RUNTIME_DIR "$@"')
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script), "sh", *argv]


class LabCommand:
    """`bgpsvc lab` with an environment by which all of its processes can be found."""

    def __init__(
        self, ordinary_user: bool = False, machine: Machine | None = None, hidden: str | None = None
    ) -> None:
        """`hidden`: a directory that is empty for it, as where a package is not installed. Needs root."""
        self._mark = new_mark()
        self._hidden = hidden
        self._ordinary = ordinary_user
        self._machine = machine
        # Not below pytest's own directory, which other users may not enter.
        self.runtime = Path(tempfile.mkdtemp(prefix="bgpsvc-test-"))
        if ordinary_user and not os.geteuid():
            os.chown(self.runtime, ORDINARY_UID, ORDINARY_UID)

    def argv(self, *arguments: str) -> list[str]:
        """The command line."""
        variables = [self._mark, f"XDG_RUNTIME_DIR={self.runtime}", f"TMPDIR={self.runtime}"]
        # A test run in the background of a script ignores Ctrl-C, and would hand that on.
        argv = ["env", "--default-signal=INT", *variables, sys.executable, "-m", "bgpsvc", "lab", *arguments]
        if self._hidden is not None:
            script = f'mount -t tmpfs hidden {self._hidden}; exec "$@"'
            argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *argv]
        if self._machine is not None:
            argv = self._machine.command(*argv)
        return as_ordinary_user(argv) if self._ordinary else argv

    def __call__(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Runs it to its end."""
        return subprocess.run(
            self.argv(*arguments),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def clean_up(self) -> None:
        """Ends what is left of its processes and removes its directory."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.runtime)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts it, with pipes for its output."""
        return subprocess.Popen(
            self.argv(*arguments), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def processes(self) -> dict[int, str]:
        """Every living process that descends from a command of this object: number to command line."""
        return marked(self._mark)

    def servers(self) -> list[int]:
        """The processes of bgpsvc's service itself: its children have other command lines."""
        found = self.processes().items()
        return [pid for pid, text in found if " -m bgpsvc serve " in text and "nsenter" not in text]

    @contextlib.contextmanager
    def namespaces(self) -> Iterator[set[str]]:
        """The network and mount namespaces that its processes are in, other than this test's.

        Held meanwhile: the kernel gives the number of one that is gone to the next that anybody makes.
        """
        with contextlib.ExitStack() as held:
            found = set()
            for number, kind in itertools.product(self.processes(), KINDS):
                with contextlib.suppress(*GONE):
                    fd = os.open(f"/proc/{number}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
                    held.callback(os.close, fd)
                    found.add(os.readlink(f"/proc/self/fd/{fd}"))
            yield found - {os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}


def namespaces_in_use() -> set[str]:
    """Network and mount namespaces of all processes."""
    found = set()
    for entry, kind in itertools.product(Path("/proc").iterdir(), KINDS):
        if entry.name.isdigit():
            with contextlib.suppress(*GONE):
                found.add(os.readlink(entry / "ns" / kind))
    return found


class Machine:
    """A network and mount namespace in the place of the machine's own, which others may change meanwhile.

    It has links (down, so that nothing changes by itself), a route, a rule, and a /run of its own.
    Use as a context manager; needs root.
    """

    def __init__(self) -> None:
        steps = (
            "mount -t tmpfs -o mode=755 machine /run",
            "ip link add uplink type veth peer name provider",
            "ip link set lo up",
            "ip route add 192.0.2.0/24 dev lo",
            "ip rule add fwmark 0x77 table 77",
            "ip netns add other",
            "echo made",
            "exec cat",
        )
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", " && ".join(steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "made\n":
            self.__exit__()
            raise AssertionError("no namespaces for the test")
        return self

    def __exit__(self, *_: object) -> None:
        # It reads from us, so it ends with us in any case.
        self._holder.communicate()

    def command(self, *argv: str) -> list[str]:
        """A command line that runs a program there, in the checkout."""
        there = ("--net", "--mount", "--target", str(self._holder.pid), f"--wdns={REPOSITORY}")
        return ["nsenter", *there, *argv]

    def state(self) -> tuple[str, ...]:
        """What a lab must leave as it is: links, rules, routes, named namespaces and mounts."""
        commands = (
            *(["ip", "-o", "-br", "link"], ["ip", "rule"], ["ip", "route", "show", "table", "all"]),
            ["ip", "netns"],
        )
        return (*(self._output(*words) for words in commands), *self._mounts())

    def _mounts(self) -> list[str]:
        # A private namespace hears of no new mounts, but whoever removes the directory under one detaches it
        # in every namespace: an engine does so to a container that ends, of another test as well.
        lines = self._output("cat", "/proc/self/mounts").splitlines()
        return [line for line in lines if not OF_OTHERS.search(line)]

    def _output(self, *words: str) -> str:
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=True).stdout
