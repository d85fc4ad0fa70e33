"""Processes that outlive the daemon: started by us, or found running and adopted.

Pid, start time and boot id together name a process without doubt; written down they are its record, by which
a later daemon finds it again. From then on a pidfd says when it ends, whether it is our child or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only our user can read it."""
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, 0o600)
        file.write(text)
    temporary.replace(path)


class Process:
    """A running (or just ended) process. `child` is None if it is not our own."""

    def __init__(self, pid: int, pidfd: int, child: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self.child = child
        self._pidfd = pidfd
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._on_end)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; that it has ended already is no error."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> None:
        """Until it has ended."""
        await self._ended.wait()

    async def end(self, patience: float) -> None:
        """End it: TERM, and KILL if it takes longer than `patience` seconds."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()

    def how_it_ended(self) -> str:
        """`killed by SIGKILL`, `ended with status 1`, or `ended` if it was not our child."""
        if self.child is not None and (code := self.child.poll()) is not None:
            return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return "ended"

    def release(self) -> None:
        """Stop watching it; it goes on. Closes the pidfd."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self.child is not None and self.child.returncode is None and self.child.poll() is None:
            # It is meant to outlive us: keep Popen from warning about that.
            self.child.returncode = 0

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        if self.child is not None:
            self.child.wait()
        os.close(self._pidfd)
        self._pidfd = -1
        self._ended.set()


def record_of(pid: int) -> dict[str, Any]:
    """What names a running process without doubt; for `open_recorded`."""
    return {"pid": pid, "start": start_time(pid), "boot": boot_id()}


def open_recorded(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Pid and a pidfd of the process of a record, None if it has ended.

    KeyError, TypeError or ValueError if it is no record.
    """
    pid, started, boot = int(record["pid"]), int(record["start"]), str(record["boot"])
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # Compared with the pidfd in hand: the pid can't pass to another process unnoticed any more.
    if boot != boot_id() or started != start_time(pid):
        os.close(pidfd)
        return None
    return pid, pidfd


def start_time(pid: int) -> int:
    """Start of a process in clock ticks since boot (proc(5), field 22); -1 if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return -1
    # The command name is in parentheses and may contain any character.
    return int(stat.rpartition(")")[2].split()[19])


def boot_id() -> str:
    """Names this run of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process was doing at one moment: its state (proc(5), field 3) and the CPU seconds so far."""

    state: str
    cpu: float

    @classmethod
    def of(cls, pid: int) -> Activity | None:
        """None if there is none."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return cls(fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))

    def works_since(self, before: Activity | None, seconds: float) -> bool:
        """It works, waits for a processor or for a disk, or has worked for most of these seconds."""
        return self.state in "RD" or (before is not None and self.cpu - before.cpu > seconds / 2)


def children(pid: int, program: str) -> list[int]:
    """Living children of a process that run this file, by its name and wherever it is."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and parent(int(entry.name)) == pid:
            with contextlib.suppress(OSError):  # it ended meanwhile
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if program in (os.fsdecode(os.path.basename(word)) for word in words):
                    found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    """The parent of a process (proc(5), field 4); -1 if there is none of that pid."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return -1
    return int(stat.rpartition(")")[2].split()[1])


def kill_child(of: int, pid: int) -> None:
    """SIGKILL to a child of another process; nothing if it is gone, whoever has its pid now."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        # With the pidfd in hand the pid cannot pass to somebody else between the two.
        if parent(pid) == of:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


_TRACEBACK = "Traceback (most recent call last):"


def last_line(path: Path, most: int = 65536) -> str:
    """What a process said last, looked for in the last `most` bytes of its output; "" if it said nothing.

    If it ended by an exception that is the exception's own line, whatever was printed behind it.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    _, traceback, trace = text.rpartition(_TRACEBACK)
    if traceback:
        # Frames are indented; the first line that is not names the exception.
        raised = (line for line in trace.split("\n")[1:] if line and not line[0].isspace())
        return next(raised, traceback).strip()
    lines = (line.strip() for line in reversed(text.split("\n")))
    return next((line for line in lines if any(map(str.isalnum, line))), "")
