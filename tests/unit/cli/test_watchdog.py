"""The watchdog as a process, with daemons that a few lines of Python play."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bgpsvc import watchdog
from bgpsvc.watchdog import TURN, Silence, name_of

DEADLINE = 60.0

PLAY = """
import faulthandler, os, signal, socket, sys, time
faulthandler.enable()
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
say = sock.send
with open(sys.argv[1], "a") as file:
    print(os.getpid(), os.environ["BGPSVC_RESTARTED"], file=file)
number = len(open(sys.argv[1]).readlines())
"""


class Run:
    """A watchdog over a daemon that is played; `starts`: pid and reason of each."""

    def __init__(
        self, tmp_path: Path, script: str, seconds: float, interpreter: str = sys.executable, **popen: object
    ) -> None:
        self.starts_path = tmp_path / "starts"
        self.log_path = tmp_path / "log"
        play = tmp_path / "daemon.py"
        play.write_text(PLAY + textwrap.dedent(script))
        command = (sys.executable, "-I", "-S", watchdog.__file__, f"{seconds:g}")
        with self.log_path.open("wb") as log:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [*command, interpreter, "-I", "-S", str(play), str(self.starts_path)],
                stdout=log,
                stderr=log,
                **popen,  # type: ignore[call-overload]
            )

    @property
    def starts(self) -> list[tuple[int, str]]:
        if not self.starts_path.exists():
            return []
        lines = [line for line in self.starts_path.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        return [(int(line.split()[0]), line.partition(" ")[2].strip()) for line in lines]

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.01)

    def ended(self) -> int:
        return self.process.wait(DEADLINE)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts a watchdog; at the end it and the daemons are ended."""
    runs: list[Run] = []

    def make(script: str, seconds: float = DEADLINE, **options: Any) -> Run:
        runs.append(Run(tmp_path, script, seconds, **options))
        return runs[-1]

    yield make
    for run in runs:
        run.process.kill()
        run.process.wait()
        for pid, _ in run.starts:
            # Only what is still the daemon that was played: the pid may be another's by now.
            command = Path(f"/proc/{pid}/cmdline")
            if command.exists() and str(tmp_path).encode() in command.read_bytes():
                os.kill(pid, signal.SIGKILL)


FOREVER = "say(b'READY=1')\nwhile True:\n    say(b'WATCHDOG=1')\n    time.sleep(0.1)\n"


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_daemon_that_never_was_ready_is_not_started_again(play: Callable[..., Run], status: int) -> None:
    run = play(f"sys.exit({status})")
    assert run.ended() == status
    assert len(run.starts) == 1


@pytest.mark.parametrize("status", [0, 2])
def test_an_end_that_was_meant_is_the_end(play: Callable[..., Run], status: int) -> None:
    run = play(f"say(b'READY=1'); sys.exit({status})")
    assert run.ended() == status
    assert len(run.starts) == 1


def test_one_that_crashed_is_started_again_and_told_why(play: Callable[..., Run]) -> None:
    run = play(
        """
        say(b"READY=1")
        if number == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        sys.exit(3 if number == 2 else 0)
        """
    )
    assert run.ended() == 0
    assert [reason for _, reason in run.starts] == ["", "it was killed by SIGSEGV", "it ended with status 3"]


def test_its_lines_are_written_as_the_daemons(
    play: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(watchdog.LOG_FORMAT, "json")
    run = play("say(b'READY=1'); sys.exit(3 if len(open(sys.argv[1]).readlines()) == 1 else 0)")
    assert run.ended() == 0
    (line,) = run.log_path.read_text().splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("error", "bgpsvc.watchdog")
    assert told["message"].startswith("the daemon ended with status 3")


def test_once_there_was_a_ready_one_a_start_that_fails_is_tried_again(play: Callable[..., Run]) -> None:
    run = play("sys.exit({1: 0, 2: 1, 3: 0}[number]) if number > 1 else (say(b'READY=1'), sys.exit(1))")
    assert run.ended() == 0
    assert len(run.starts) == 3


def test_one_that_hangs_is_replaced_and_its_traceback_kept(play: Callable[..., Run]) -> None:
    run = play(
        """
        def hangs_here():
            time.sleep(600)
        say(b"READY=1")
        if number == 1:
            hangs_here()
        sys.exit(0)
        """,
        seconds=1.0,
    )
    assert run.ended() == 0
    assert [reason for _, reason in run.starts] == ["", "it gave no sign of life for 1 s"]
    assert "hangs_here" in run.log


def test_one_that_is_not_ready_yet_may_take_longer(play: Callable[..., Run]) -> None:
    """It reads the kernel's routes: its loop stands still meanwhile."""
    run = play("say(b'WATCHDOG=1')\ntime.sleep(3)\nsay(b'READY=1')\nsys.exit(0)", seconds=1.0)
    assert run.ended() == 0
    assert len(run.starts) == 1


def test_a_stopped_one_cannot_even_abort_and_is_killed(play: Callable[..., Run]) -> None:
    run = play(
        "say(b'READY=1')\nif number == 1: os.kill(os.getpid(), signal.SIGSTOP)\nsys.exit(0)", seconds=1.0
    )
    assert run.ended() == 0
    assert "killed by SIGKILL" in run.log


def test_signs_of_life_of_others_do_not_count(play: Callable[..., Run]) -> None:
    run = play(
        """
        say(b"READY=1")
        if number == 1 and os.fork() == 0:
            try:
                while True:
                    say(b"WATCHDOG=1")
                    time.sleep(0.1)
            finally:
                os._exit(0)
        time.sleep(600 if number == 1 else 0)
        """,
        seconds=1.0,
    )
    assert run.ended() == 0
    assert len(run.starts) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_wanted_stop_ends_with_the_status_of_the_daemon(
    play: Callable[..., Run], number: signal.Signals
) -> None:
    run = play(f"signal.signal({int(number)}, lambda *_: sys.exit(5))\n" + FOREVER)
    run.until(lambda: run.starts)
    run.until(lambda: signal_caught(run.starts[0][0], number))
    run.process.send_signal(number)
    assert run.ended() == 5
    assert len(run.starts) == 1


def signal_caught(pid: int, number: int) -> bool:
    """The process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_sighup_goes_to_the_daemon_and_stops_nothing(play: Callable[..., Run]) -> None:
    run = play("signal.signal(1, lambda *_: print('heard it', flush=True))\n" + FOREVER)
    run.until(lambda: run.starts and signal_caught(run.starts[0][0], signal.SIGHUP))
    run.process.send_signal(signal.SIGHUP)
    run.until(lambda: "heard it" in run.log)
    assert run.process.poll() is None


def test_sighup_waits_for_a_daemon_that_starts(play: Callable[..., Run], tmp_path: Path) -> None:
    """It has no handler yet: the signal would end it."""
    go = tmp_path / "go"
    run = play(
        f"""
        while not os.path.exists({str(go)!r}):
            time.sleep(0.01)
        signal.signal(1, lambda *_: (print('heard it', flush=True), sys.exit(0)))
        say(b"READY=1")
        time.sleep(600)
        """
    )
    run.until(lambda: run.starts)
    run.process.send_signal(signal.SIGHUP)
    time.sleep(2 * TURN)  # nothing tells that a signal was not passed on
    go.touch()
    assert run.ended() == 0
    assert "heard it" in run.log
    assert len(run.starts) == 1


def test_a_stop_while_it_waits_to_start_another(play: Callable[..., Run]) -> None:
    """It would be the seventh one: it waits long enough then for a test that is slow."""
    run = play("say(b'READY=1'); sys.exit(1)")
    run.until(lambda: "started in 3.2 s" in run.log)
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 0


def test_what_the_daemon_says_goes_on_to_who_watches_the_watchdog(
    play: Callable[..., Run], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outer:
        outer.bind("")
        outer.settimeout(DEADLINE)
        name = "@" + outer.getsockname()[1:].decode()
        environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "7000000", "WATCHDOG_PID": "1"}
        run = play(
            "print(os.environ['WATCHDOG_USEC'], 'WATCHDOG_PID' in os.environ, flush=True)\n" + FOREVER,
            env=os.environ | environment,
        )
        assert [outer.recv(100), outer.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
        assert "7000000 False" in run.log, "the shorter of both times"


def test_only_a_wanted_stop_is_told_to_who_watches_the_watchdog(play: Callable[..., Run]) -> None:
    """systemd takes it for the end of the service, and kills what did not end then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outer:
        outer.bind("")
        outer.settimeout(DEADLINE)
        run = play(
            """
            say(b"READY=1")
            if number == 1:
                say(b"STOPPING=1")
                sys.exit(1)
            signal.signal(15, lambda *_: (say(b"STOPPING=1"), sys.exit(0)))
            say(b"WATCHDOG=1")
            while True:
                time.sleep(1)
            """,
            env=os.environ | {"NOTIFY_SOCKET": "@" + outer.getsockname()[1:].decode()},
        )
        assert [outer.recv(100) for _ in range(3)] == [b"READY=1", b"READY=1", b"WATCHDOG=1"]
        run.process.send_signal(signal.SIGTERM)
        assert outer.recv(100) == b"STOPPING=1"
        assert run.ended() == 0


def test_nobody_watches_where_somebody_should(play: Callable[..., Run], tmp_path: Path) -> None:
    run = play("", env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "none")})
    assert run.ended() == 1
    assert f"NOTIFY_SOCKET {tmp_path}/none: No such file or directory" in run.log
    assert "Traceback" not in run.log


def adopt_orphans() -> None:
    """What process 1 of a container does: PR_SET_CHILD_SUBREAPER of prctl(2)."""
    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0


def test_orphans_leave_no_zombies(play: Callable[..., Run], tmp_path: Path) -> None:
    """What outlives the daemon ends at some time, too."""
    orphan = tmp_path / "orphan"
    run = play(
        f"""
        if os.fork() == 0:
            if os.fork() == 0:
                with open({str(orphan)!r}, "w") as file:
                    print(os.getpid(), file=file)
            os._exit(0)
        os.wait()
        say(b"READY=1")
        while True:
            say(b"WATCHDOG=1")
            time.sleep(0.1)
        """,
        preexec_fn=adopt_orphans,
    )
    run.until(lambda: orphan.exists() and orphan.read_text().endswith("\n"))
    run.until(lambda: not Path(f"/proc/{orphan.read_text().strip()}").exists())
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 128 + signal.SIGTERM, "the end of the daemon itself is still known"


def test_a_daemon_that_cannot_be_started_at_the_moment(play: Callable[..., Run], tmp_path: Path) -> None:
    """As while an upgrade exchanges the interpreter, or without memory."""
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    run = play(
        f"say(b'READY=1'); os.unlink({str(interpreter)!r}) if number == 1 else None; sys.exit(number == 1)",
        interpreter=str(interpreter),
    )
    run.until(lambda: run.log.count("cannot be started: ") == 2)
    interpreter.symlink_to(sys.executable)
    assert run.ended() == 0
    assert len(run.starts) == 2


def test_a_daemon_that_was_never_there(play: Callable[..., Run], tmp_path: Path) -> None:
    run = play("", interpreter=str(tmp_path / "none"))
    assert run.ended() == 1
    assert "Traceback" not in run.log


def test_a_descriptor_that_it_was_given_reaches_every_daemon(play: Callable[..., Run]) -> None:
    read, write = os.pipe()
    try:
        run = play(f"say(b'READY=1'); os.write({write}, b'x'); sys.exit(number == 1)", pass_fds=(write,))
        assert run.ended() == 0
        assert os.read(read, 10) == b"xx"
    finally:
        os.close(read)
        os.close(write)


def silence_after(*turns: float, hears: bool = False) -> Silence:
    """Of at most 10 s, after turns that took so long."""
    silence = Silence(10)
    for seconds in turns:
        silence.passed(seconds)
        if hears:
            silence.heard(10)
    return silence


def test_silence_counts_only_while_somebody_listened() -> None:
    assert not silence_after(3600).too_long, "a suspended machine"
    assert silence_after(*[TURN] * int(10 / TURN + 1)).too_long
    assert not silence_after(*[TURN] * 100, hears=True).too_long


def test_a_signal_without_a_name_is_told_too() -> None:
    assert [name_of(signal.SIGKILL), name_of(40)] == ["SIGKILL", "signal 40"]


def test_a_form_of_the_log_that_is_none_is_refused_before_there_is_a_watchdog(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bgpsvc", "serve", "--watchdog", "30", "--log-format", "xml"]
    ended = subprocess.run(
        [*argv, "--state-dir", str(tmp_path)], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert ended.returncode == 2
    assert "is no format of the log" in " ".join(ended.stderr.replace("│", " ").split())
    assert "Traceback" not in ended.stderr
