"""Fixtures: a served fake, and the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from bgpsvc.cli import main
from tests.fakes.server import RunningApi


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def server() -> Iterator[RunningApi]:
    """One server for all tests: to start one takes longer than most of them."""
    with RunningApi() as api:
        yield api


@pytest.fixture
def running(server: RunningApi, monkeypatch: pytest.MonkeyPatch) -> RunningApi:
    """A served fake in its first state that commands talk to by default."""
    server.reset()
    monkeypatch.setenv("BGPSVC_SERVER", server.url)
    return server


@pytest.fixture
def bgpsvc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `bgpsvc ARGUMENTS`."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["bgpsvc", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run
