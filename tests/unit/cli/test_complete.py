"""What a shell is offered for an incomplete command, asked as the shell does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bgpsvc.cli.client import Client
from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run


@pytest.fixture
def offered(bgpsvc: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The words that bash would offer for the last one."""

    def ask(server: str, *words: str) -> list[str]:
        command = ["bgpsvc", "--server", server, *words]
        monkeypatch.setenv("_BGPSVC_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(command))
        monkeypatch.setenv("COMP_CWORD", str(len(command) - 1))
        result = bgpsvc()
        assert (result.status, result.err) == (0, "")
        return result.out.split()

    return ask


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("dia",), ["diagnose"]),
        (("diagnose", ""), ["conn1"]),
        (("diagnose", "x"), []),
        (("switch", "conn"), ["conn1"]),
        (("restart", "tunnel", "conn1-"), ["conn1-tunnel1", "conn1-tunnel2"]),
        (("show", "tunnel", "conn1-tunnel2"), ["conn1-tunnel2"]),
        (("get", "tunnels", ""), ["conn1-tunnel1", "conn1-tunnel2"]),
        (("get", "gateways", ""), ["gw1"]),
        (("delete", "vpn-c"), ["vpn-connection"]),
        (("delete", "vpn-connection", ""), ["conn1"]),
        (("propagate", "on", ""), ["gw1"]),
    ],
)
def test_names_of_what_the_daemon_has(
    offered: Callable[..., list[str]], running: RunningApi, words: tuple[str, ...], expected: list[str]
) -> None:
    assert offered(running.url, *words) == expected


def test_orders_of_top(offered: Callable[..., list[str]]) -> None:
    assert offered("unix:/nonexistent", "top", "--sort", "t") == ["traffic", "trouble"]


def test_nothing_is_offered_of_what_is_no_daemon_of_ours(
    offered: Callable[..., list[str]], running: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: tuple[dict[str, Any], ...] = ({}, {"items": [{}]}, {"items": None})
    for answer in answers:
        monkeypatch.setattr(Client, "get", lambda *args, answer=answer, **options: answer)
        assert offered(running.url, "diagnose", "") == []


def test_nothing_is_offered_and_nothing_said_where_no_daemon_is(offered: Callable[..., list[str]]) -> None:
    assert offered("unix:/nonexistent", "diagnose", "") == []
