"""sd_notify(3) as the daemon speaks it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgpsvc.cli.watched import Watched
from bgpsvc.notify import READY, BadEnvironment, Notifier
from bgpsvc.watchdog import RESTARTED, WATCHED_BY


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of who watches."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(30)
        yield made


def test_it_takes_the_address_and_leaves_it_to_nobody_else(ear: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "4000000", "HOME": "/"}
    notifier = Notifier.of_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier.interval == 2.0
    notifier.say(READY)
    assert ear.recv(100) == b"READY=1"
    notifier.close()


@pytest.mark.parametrize(
    ("pid", "interval"),
    [("", 2.0), (str(os.getpid()), 2.0), ("1", None)],
    ids=["of nobody", "ours", "another's"],
)
def test_signs_of_life_are_for_the_process_that_is_meant(
    ear: socket.socket, pid: str, interval: float | None
) -> None:
    environment = {
        "NOTIFY_SOCKET": ear.getsockname(),
        "WATCHDOG_USEC": "4000000",
        "WATCHDOG_PID": pid,
    }
    notifier = Notifier.of_environment(environment)
    assert notifier.interval == interval
    notifier.close()


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("")
        notifier = Notifier.of_environment({"NOTIFY_SOCKET": "@" + ear.getsockname()[1:].decode()})
        notifier.say(READY)
        assert ear.recv(100) == b"READY=1"
        notifier.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"NOTIFY_SOCKET": "relative"}, "NOTIFY_SOCKET is 'relative'; allowed: /PATH"),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC is 'soon'; allowed"),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, "WATCHDOG_USEC is '0'; allowed"),
    ],
)
def test_what_it_does_not_understand_it_says(environment: dict[str, str], said: str) -> None:
    with pytest.raises(BadEnvironment) as refused:
        Notifier.of_environment(environment)
    assert str(refused.value).startswith(said)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"NOTIFY_SOCKET .*none"):
        Notifier.of_environment({"NOTIFY_SOCKET": str(tmp_path / "none")})
    quiet = Notifier.of_environment({})
    quiet.say(READY)
    assert quiet.interval is None


def test_who_listened_has_gone(ear: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier.of_environment({"NOTIFY_SOCKET": ear.getsockname()})
    ear.close()
    notifier.say(READY)
    notifier.say(READY)
    assert len(caplog.records) == 1
    notifier.close()


def test_the_event_loop_gives_signs_of_life(ear: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "20000"}
    notifier = Notifier.of_environment(environment)
    ear.setblocking(False)

    async def live() -> None:
        async with notifier.beating():
            for _ in range(3):
                assert await asyncio.wait_for(loop.sock_recv(ear, 100), 30) == b"WATCHDOG=1"

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        runner.run(live())
    notifier.close()


def test_a_daemon_that_takes_another_ones_place_says_so() -> None:
    assert Watched.of_environment({RESTARTED: ""}).event() is None
    event = Watched.of_environment({RESTARTED: "it was killed by SIGKILL"}).event()
    assert event is not None
    assert event.message == "started by the watchdog: it was killed by SIGKILL"


def test_a_daemon_whose_watchdog_has_ended_does_not_start() -> None:
    """In a process of its own: it is to be killed when its parent ends."""
    pid = os.fork()
    if pid == 0:
        try:
            Watched.of_environment({WATCHED_BY: "1000000000"})
        except ProcessLookupError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
