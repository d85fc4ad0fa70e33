"""`bgpsvc dashboard`: whose address it prints, and what token is in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from api.server import Listen
from bgpsvc.cli.client import Client
from bgpsvc.cli.dashboard import URL
from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run

LINK = re.compile(r"(http.*/)#token=(bgpsvc_([A-Za-z0-9]+)\.[A-Za-z0-9_-]+)\n")


@pytest.fixture(autouse=True)
def told_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has said where the browser reaches the daemon."""
    monkeypatch.delenv(URL, raising=False)


def test_the_address_has_a_token_that_lets_in_for_a_while(
    bgpsvc: Run, running: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bgpsvc("dashboard")
    link = LINK.fullmatch(made.out)
    assert made.status == 0
    assert link is not None, made.out
    assert link[1] == f"{running.url}/"
    assert link[2] not in made.err, "only what goes to standard output is secret"
    assert f"token {link[3]} for dashboard, scope operate, valid until " in made.err
    assert f"bgpsvc token revoke {link[3]}" in made.err
    (token,) = Client(running.url).items("/v1/tokens")
    monkeypatch.setenv("BGPSVC_TOKEN", link[2])
    assert Client(running.url).get("/v1/whoami")["scope"] == "operate"
    left = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=11) < left <= timedelta(hours=12)


def test_scope_name_and_end_are_as_they_are_said(bgpsvc: Run, running: RunningApi) -> None:
    made = bgpsvc("dashboard", "--scope", "read", "--name", "ann", "--expires", "2030-01-31T00:00:00Z")
    assert "for ann, scope read, valid until 2030-01-31T00:00:00" in made.err
    assert bgpsvc("dashboard", "--expires", "soon").status == 2
    assert bgpsvc("dashboard", "--scope", "all").status == 2


def test_over_the_socket_it_is_loopback_unless_somebody_says_where(
    bgpsvc: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "api.sock")
        with RunningApi(listen=Listen(path=path), anonymous=None):
            monkeypatch.setenv("BGPSVC_SERVER", f"unix:{path}")
            assert bgpsvc("dashboard").out.startswith("http://127.0.0.1:8179/#token=bgpsvc_")
            monkeypatch.setenv(URL, "http://localhost:8180")
            assert bgpsvc("dashboard").out.startswith("http://localhost:8180/#token=bgpsvc_")
            behind = "https://ops.example/gw1/"
            assert bgpsvc("dashboard", "--url", behind).out.startswith(f"{behind}#token=bgpsvc_")


@pytest.mark.parametrize(
    "url",
    [
        "gw1.example:8179",
        "ftp://gw1.example",
        "https://",
        "https://gw1.example:99999",
        "https://gw1.example:0",
        "https://[::1",
        "https://gw1.example/?x=1",
        "https://gw1.example/#/routes",
        "https://ann@gw1.example/",
        "https://gw1.example/a b",
        "https://gw1.example\\@evil.example/",
        "",
    ],
)
def test_what_is_no_address_is_refused_before_a_token_is_made(
    bgpsvc: Run, running: RunningApi, url: str
) -> None:
    refused = bgpsvc("dashboard", "--url", url)
    assert (refused.status, refused.out) == (2, "")
    assert f"--url: {url!r} is no address of a dashboard: give http[s]://HOST[:PORT][/PATH]" in refused.err
    assert not Client(running.url).items("/v1/tokens")


def test_a_token_is_not_sent_over_a_network_in_clear(bgpsvc: Run, running: RunningApi) -> None:
    refused = bgpsvc("dashboard", "--url", "http://192.0.2.1:8179")
    assert (refused.status, refused.out) == (2, "")
    assert "readable for all: use https://192.0.2.1" in refused.err
    assert not Client(running.url).items("/v1/tokens")
