"""What is seen of processes that are not our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bgpsvc.processes import Activity, children, kill_child

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program `told.py` with these lines; it is ended at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def make(lines: str) -> subprocess.Popen[bytes]:
        path = tmp_path / str(len(started)) / "told.py"
        path.parent.mkdir()
        path.write_text(f"import os, time\n{lines}\n")
        started.append(
            subprocess.Popen([sys.executable, "-S", "-E", str(path)], stdout=subprocess.PIPE, bufsize=0)
        )
        return started[-1]

    yield make
    for process in started:
        process.kill()
        process.communicate()


def seen(pid: int, seconds: float = 0.3) -> bool:
    """Whether it works, as seen over a while."""
    before, began = Activity.of(pid), time.monotonic()
    time.sleep(seconds)  # what is measured is what it does in a while
    now = Activity.of(pid)
    assert now is not None
    return now.works_since(before, time.monotonic() - began)


def test_who_works_and_who_only_waits(start: Start) -> None:
    busy = start("print(flush=True)\nwhile True: pass")
    idle = start("print(flush=True)\ntime.sleep(600)")
    for process in (busy, idle):
        assert process.stdout is not None
        process.stdout.read(1)
    assert seen(busy.pid)
    assert not seen(idle.pid)
    busy.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, busy.pid, os.WSTOPPED)
    assert not seen(busy.pid), "a stopped one"


def test_none_of_that_pid() -> None:
    assert Activity.of(2**22 + 1) is None
    assert children(2**22 + 1, "told.py") == []
    kill_child(1, 2**22 + 1)


def test_children_by_the_name_of_their_file(start: Start) -> None:
    child = start("time.sleep(600)")
    assert child.pid in children(os.getpid(), "told.py")
    assert child.pid not in children(os.getpid(), "old.py")
    assert child.pid not in children(1, "told.py")


def test_only_a_child_of_that_process_is_killed(start: Start) -> None:
    child = start("time.sleep(600)")
    kill_child(1, child.pid)
    assert child.poll() is None
    kill_child(os.getpid(), child.pid)
    assert child.wait(30) == -signal.SIGKILL
