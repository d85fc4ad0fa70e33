"""The relay between pipes as ExaBGP makes them (blocking) and daemons that stop, vanish and come back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bgpsvc.exabgp import relay

LINE = b'{ "counter": %d, "text": "' + b"x" * 200 + b'" }\n'
MANY = 20_000


class Helper:
    """A running relay; we are ExaBGP on its pipes."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        environment = {relay.ENV_SOCKET: str(path), relay.ENV_LIMIT: str(limit)}
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", relay.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.to_relay = self.process.stdin
        self.from_relay = self.process.stdout
        wait_for(path.exists, "the relay listens")

    def write(self, data: bytes) -> float:
        """As ExaBGP writes: blocking. The time it took."""
        started = time.monotonic()
        self.to_relay.write(data)
        self.to_relay.flush()
        return time.monotonic() - started

    def connect(self) -> Daemon:
        return Daemon(self.path)

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def bytes_read(self) -> int:
        """All that it has read so far, its own program too."""
        return int(Path(f"/proc/{self.process.pid}/io").read_text().split()[1])

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.to_relay.close()
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(5)
        finally:
            self.process.kill()
            self.process.wait()
            self.from_relay.close()


class Daemon:
    """The daemon's end."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(path))
        self._rest = b""
        hello = self.line().split()
        assert hello[:2] == [b"#relay", b"%d" % relay.PROTOCOL]
        self.relay_pid, self.speaker_pid = int(hello[2]), int(hello[3])

    def line(self) -> bytes:
        while b"\n" not in self._rest:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def lines(self, count: int) -> list[bytes]:
        return [self.line() for _ in range(count)]

    def close(self) -> None:
        self.sock.close()


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Helper]]:
    started: list[Helper] = []

    def make(limit: int = relay.DEFAULT_LIMIT) -> Helper:
        started.append(Helper(tmp_path / "relay.sock", limit))
        return started[-1]

    yield make
    for helper in started:
        helper.close()


def burst(first: int, count: int) -> bytes:
    return b"".join(LINE % number for number in range(first, first + count))


def test_lines_before_the_first_daemon_are_kept_for_it(start: Callable[..., Helper]) -> None:
    helper = start()
    helper.write(burst(1, 3))
    daemon = helper.connect()
    assert daemon.lines(3) == burst(1, 3).splitlines()
    assert daemon.relay_pid == helper.process.pid
    assert daemon.speaker_pid == os.getpid()
    daemon.close()


def test_a_daemon_that_does_not_read_never_blocks_the_speaker(start: Callable[..., Helper]) -> None:
    """Megabytes more than pipe and socket hold: written at once, nothing lost, order kept."""
    helper = start()
    daemon = helper.connect()
    data = burst(1, MANY)
    assert len(data) > 4 << 20
    assert helper.write(data) < 5
    wait_for(lambda: helper.memory() > 4 << 20, "the relay holds it")
    assert daemon.lines(MANY) == data.splitlines()
    daemon.close()


def test_beyond_the_limit_the_newest_are_dropped_and_it_says_so(start: Callable[..., Helper]) -> None:
    limit = 1 << 20
    helper = start(limit)
    daemon = helper.connect()
    data, before = burst(1, MANY), helper.bytes_read()
    helper.write(data)
    # What is still in the pipe when we begin to read would find room again.
    wait_for(lambda: helper.bytes_read() >= before + len(data), "the relay took all of it")
    assert helper.memory() < 64 << 20
    kept = 0
    while not (line := daemon.line()).startswith(b"#"):
        kept += 1
        assert line == (LINE % kept).rstrip()
    word, lost_bytes, lost_lines = line.split()
    assert word == b"#lost"
    assert int(lost_lines) == MANY - kept
    assert int(lost_bytes) == sum(len(LINE % number) for number in range(kept + 1, MANY + 1))
    assert kept * len(LINE) < 3 * limit
    helper.write(burst(MANY + 1, 2))
    assert daemon.lines(2) == burst(MANY + 1, 2).splitlines()
    daemon.close()


def test_without_a_daemon_lines_are_dropped(start: Callable[..., Helper]) -> None:
    helper = start()
    first = helper.connect()
    helper.write(burst(1, 1))
    assert first.line()
    first.close()
    # The relay has to notice that the daemon is gone, which it does when it reads or writes.
    time_limit = time.monotonic() + 10
    while True:
        helper.write(burst(2, 100))
        second = helper.connect()
        helper.write(burst(500, 1))
        line = second.line()
        second.close()
        if line == (LINE % 500).rstrip():
            break
        assert time.monotonic() < time_limit


def test_a_second_daemon_takes_over_at_a_whole_line(start: Callable[..., Helper]) -> None:
    helper = start()
    first = helper.connect()
    helper.write(b"{ half a li")
    second = helper.connect()
    helper.write(b"ne }\n{ whole }\n")
    assert second.lines(2) == [b"{ half a line }", b"{ whole }"]
    with pytest.raises((EOFError, ConnectionError)):
        first.line()
    first.close()
    second.close()


def test_commands_go_to_the_speaker_whole(start: Callable[..., Helper]) -> None:
    helper = start()
    first = helper.connect()
    first.sock.sendall(b"zero\none ha")
    assert helper.from_relay.readline() == b"zero\n"
    first.sock.sendall(b"lf\ntw")
    assert helper.from_relay.readline() == b"one half\n"
    first.close()
    second = helper.connect()
    second.sock.sendall(b"three\n")
    # Half a command of the daemon that died must not stick to it.
    assert helper.from_relay.readline() == b"three\n"
    second.close()


def test_a_speaker_that_does_not_read_commands_stops_nothing(start: Callable[..., Helper]) -> None:
    helper = start()
    daemon = helper.connect()
    command = b"announce " + b"x" * 1000 + b"\n"
    for _ in range(5000):
        daemon.sock.sendall(command)
    assert helper.write(burst(1, 100)) < 5
    assert daemon.lines(100) == burst(1, 100).splitlines()
    for _ in range(5000):
        assert helper.from_relay.readline() == command
    daemon.close()


def test_bad_bytes_pass_and_kill_nothing(start: Callable[..., Helper]) -> None:
    helper = start()
    daemon = helper.connect()
    helper.write(b"\xff\xfe\0\n\n{]\n" + b"y" * 3_000_000 + b"\n")
    assert daemon.lines(4) == [b"\xff\xfe\0", b"", b"{]", b"y" * 3_000_000]
    daemon.close()


def test_at_the_end_it_hands_over_what_it_has(start: Callable[..., Helper]) -> None:
    helper = start()
    daemon = helper.connect()
    helper.write(burst(1, MANY))
    helper.to_relay.close()
    assert daemon.lines(MANY)[-1] == (LINE % MANY).rstrip()
    with pytest.raises(EOFError):
        daemon.line()
    assert helper.process.wait(5) == 0


def test_at_the_end_it_does_not_wait_for_a_dead_daemon(start: Callable[..., Helper]) -> None:
    helper = start()
    daemon = helper.connect()
    helper.write(burst(1, MANY))
    helper.to_relay.close()
    assert helper.process.wait(relay.LINGER + 3) == 0
    daemon.close()


def test_the_socket_is_private_and_a_stale_one_is_replaced(
    start: Callable[..., Helper], tmp_path: Path
) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "relay.sock"))
    helper = start()

    def answers() -> bool:
        try:
            helper.connect().close()
        except ConnectionError:
            return False
        return True

    wait_for(answers, "the relay took the place of the stale socket")
    assert stat.S_IMODE((tmp_path / "relay.sock").stat().st_mode) == 0o600
    stale.close()


def test_without_settings_it_refuses() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", relay.__file__], capture_output=True, env={}, check=False
    )
    assert done.returncode == 2


def test_it_imports_little(start: Callable[..., Helper]) -> None:
    helper = start()
    helper.connect().close()
    assert helper.memory() < 20 << 20
