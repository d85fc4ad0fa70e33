"""The command as a whole: help, what it loads, servers it can reach or not, watching."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from api.server import Listen
from bgpsvc import __version__
from bgpsvc.cli import COMMANDS
from tests.fakes.server import RunningApi, until
from tests.fakes.service import ACTIVE
from tests.unit.cli.conftest import Run

LAB = {
    "run": [],
    "up": [],
    "down": [],
    "status": [],
    "fail": ["1"],
    "heal": ["1"],
    "exec": ["gw1", "--", "true"],
    "logs": ["gw1"],
}
"""The commands of the lab, with the arguments that they need."""
HEAVY = ("fastapi", "uvicorn", "pyroute2", "httpx", "asyncio", "rich", "exabgp")
PROGRAM = [sys.executable, "-c", "from bgpsvc.cli import main; main()"]


def loaded_by(*arguments: str, server: str = "") -> set[str]:
    """The modules that a command loads."""
    code = (
        "import sys\nfrom bgpsvc.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "BGPSVC_SERVER": server},
    )
    return set(done.stderr.split())


def test_help_lists_every_command_and_loads_none(bgpsvc: Run) -> None:
    result = bgpsvc("--help")
    assert result.status == 0
    for name, (_, text) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", result.out, re.M), name
    modules = loaded_by("--help")
    assert "bgpsvc.cli" in modules
    assert not modules & {*HEAVY, "bgpsvc.cli.get", "bgpsvc.cli.lab", "bgpsvc.cli.config"}


def test_client_commands_load_nothing_heavy(running: RunningApi) -> None:
    modules = loaded_by("get", "sessions", server=running.url)
    assert "bgpsvc.cli.get" in modules
    assert not modules & set(HEAVY)


@pytest.mark.parametrize(
    "command",
    [
        ["get"],
        ["get", "sessions"],
        ["get", "routes"],
        ["get", "table"],
        ["get", "events"],
        ["show"],
        ["show", "bgp", "summary"],
        ["show", "session"],
        ["show", "route"],
        ["show", "tunnels"],
        ["show", "tunnel"],
        ["show", "history"],
        *([name] for name in ("explain", "simulate", "apply", "diff", "export", "delete", "reveal", "audit")),
        *(["token", name] for name in ("create", "list", "revoke")),
        ["secrets", "rotate-key"],
        ["propagate"],
        ["switch"],
        ["restart"],
        ["config"],
        ["config", "check"],
        ["config", "show"],
        ["serve"],
        ["lab"],
        *(["lab", name] for name in LAB),
    ],
)
def test_every_command_has_help(bgpsvc: Run, command: list[str]) -> None:
    result = bgpsvc(*command, "-h")
    assert result.status == 0
    assert result.out.startswith(f"Usage: bgpsvc {' '.join(command)} ")
    _, _, commands = result.out.partition("\nCommands:\n")
    assert "..." not in commands, "a summary that does not fit is cut off"


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    "command",
    [
        *(["get"], ["get", "routes"], ["get", "table"], ["get", "events"], ["show"]),
        *(["explain"], ["simulate"], ["audit"], ["reveal"]),
    ],
)
def test_examples_of_the_help_are_true(bgpsvc: Run, command: list[str]) -> None:
    examples = re.findall(r"^ +bgpsvc (.+)$", bgpsvc(*command, "--help").out, re.M)
    assert examples
    for example in examples:
        if "--watch" not in example:
            assert bgpsvc(*example.split()).status == 0, example


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lab keeps its state, empty."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


NAMED = sorted(LAB.keys() - {"run"})


@pytest.mark.parametrize("name", NAMED)
def test_a_name_that_no_lab_can_have(bgpsvc: Run, runtime: Path, name: str) -> None:
    result = bgpsvc("lab", name, "--name", "../x", *LAB[name])
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("bgpsvc lab: '../x' cannot name a lab: ")
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize("name", NAMED)
def test_a_damaged_state_file_is_named(bgpsvc: Run, runtime: Path, name: str) -> None:
    (runtime / "bgpsvc-lab").mkdir(mode=0o700)
    file = runtime / "bgpsvc-lab" / "two.json"
    file.write_text('{"pid":')
    result = bgpsvc("lab", name, "--name", "two", *LAB[name])
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"bgpsvc lab: the state file {file} cannot be read (")


@pytest.mark.parametrize("name", sorted(LAB.keys() - {"run", "up", "down"}))
def test_looking_for_a_lab_leaves_nothing_and_names_it(bgpsvc: Run, runtime: Path, name: str) -> None:
    result = bgpsvc("lab", name, "--name", "two", *LAB[name])
    assert (result.status, result.out) == (1, "")
    assert result.err == ("bgpsvc lab: no lab 'two' is running; start it with: bgpsvc lab up --name two\n")
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "usage"),
    [("fail", "{TUNNEL}"), ("heal", "{TUNNEL}"), ("exec", "{HOST} {COMMAND}..."), ("logs", "{DAEMON}")],
)
def test_the_arguments_of_the_lab_are_written_as_elsewhere(bgpsvc: Run, name: str, usage: str) -> None:
    assert bgpsvc("lab", name, "-h").out.splitlines()[0] == f"Usage: bgpsvc lab {name} [OPTIONS] {usage}"


def test_version(bgpsvc: Run) -> None:
    assert bgpsvc("--version").out == f"bgpsvc {__version__}\n"


def test_a_command_that_cannot_be_loaded_breaks_no_other(
    bgpsvc: Run, monkeypatch: pytest.MonkeyPatch, running: RunningApi
) -> None:
    monkeypatch.setitem(COMMANDS, "lab", ("bgpsvc.cli.missing:app", "Missing."))
    result = bgpsvc("lab", "run")
    assert result.status == 1
    assert "`bgpsvc lab` cannot be loaded: No module named 'bgpsvc.cli.missing'" in result.err
    assert bgpsvc("get", "vpcs").status == 0


def test_the_server_option_goes_before_the_environment(bgpsvc: Run, running: RunningApi) -> None:
    with RunningApi() as other:
        other.call(lambda service: service.session_down(ACTIVE))
        for arguments in (["-s", other.url, "get", "sessions"], ["get", "sessions", "-s", other.url]):
            assert "hold timer expired" in bgpsvc(*arguments).out
        bare = other.url.removeprefix("http://")
        assert "hold timer expired" in bgpsvc("-s", running.url, "get", "sessions", "-s", bare).out


def test_a_unix_socket(bgpsvc: Run) -> None:
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "api.sock")
        with RunningApi(listen=Listen(path=path)):
            assert bgpsvc("-s", f"unix:{path}", "get", "vpcs").out.splitlines()[1].startswith("vpc1 ")
        gone = bgpsvc("-s", f"unix:{path}", "get", "vpcs")
        assert gone.status == 1
        assert gone.err.startswith(f"bgpsvc: cannot reach unix:{path}: no such file or directory; is ")


def test_nobody_listens(bgpsvc: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    result = bgpsvc("-s", url, "get", "sessions")
    assert (result.status, result.out) == (1, "")
    assert result.err == (
        f"bgpsvc: cannot reach {url}: connection refused; is `bgpsvc serve` running there? "
        "(--server or BGPSVC_SERVER name another address)\n"
    )


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:x",
        "http://h/path",
        "http://a..b",
        f"http://{'a' * 64}.b",
    ],
)
def test_what_is_no_server(bgpsvc: Run, url: str) -> None:
    result = bgpsvc("-s", url, "get", "sessions")
    assert (result.status, result.out) == (2, "")
    assert f"{url!r} is not a server: " in result.err


@contextmanager
def stranger(status: int) -> Iterator[str]:
    """An HTTP server that is not bgpsvc."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 503])
def test_somebody_else_listens(bgpsvc: Run, status: int) -> None:
    with stranger(status) as url:
        result = bgpsvc("-s", url, "get", "sessions")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"bgpsvc: {url} does not answer like bgpsvc: ")


@contextmanager
def started(*arguments: str, server: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, ended afterwards whatever happens.

    A run in the background of a script ignores Ctrl-C, and would hand that on.
    """
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BGPSVC_SERVER": server},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_watching_draws_again_and_ends_with_ctrl_c(running: RunningApi) -> None:
    with started("get", "tunnels", "--watch", server=running.url) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(4)]
        assert first[1].startswith("conn1-tunnel1  active   live ")
        assert first[3] == "\n", "pictures are apart"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_following_events_shows_new_ones_and_ends_with_ctrl_c(running: RunningApi) -> None:
    with started("get", "events", "--watch", "--kind", "session.down", server=running.url) as process:
        until(lambda: running.service.subscribers == 1, "subscription")
        running.call(lambda service: service.session_down(ACTIVE))
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["ID", "TIME", "SEVERITY", "KIND", "SUBJECT", "MESSAGE"]
        assert process.stdout.readline().split()[0] == "3"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_following_events_goes_on_after_a_restart() -> None:
    with RunningApi() as first, started("get", "events", "--watch", server=first.url) as process:
        port = int(first.url.rpartition(":")[2])
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        until(lambda: first.service.subscribers == 1, "subscription")
        first.stop()
        with RunningApi(listen=Listen(port=port)) as again:
            again.call(lambda service: service.session_down(ACTIVE))
            assert process.stdout.readline().split()[0] == "3"
        assert process.poll() is None


def test_a_reader_that_goes_is_no_error(running: RunningApi) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            f"{sys.executable} -c 'from bgpsvc.cli import main; main()' get routes -o json | head -1",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "BGPSVC_SERVER": running.url},
    )
    assert (done.stdout, done.stderr) == ("{\n", "")
