"""Connections that say nothing, and too many of them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from api import connections
from tests.fakes.server import RunningApi


@pytest.fixture
def api() -> Iterator[RunningApi]:
    with RunningApi() as running:
        yield running


def opened(stack: ExitStack, api: RunningApi) -> socket.socket:
    url = httpx.URL(api.url)
    return stack.enter_context(socket.create_connection((url.host, url.port or 0), timeout=10))


def closed(connection: socket.socket) -> bool:
    """Until the server closes it; what it says meanwhile does not count."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_more_connections_than_there_may_be_are_closed(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
    with ExitStack() as stack:
        first = [opened(stack, api) for _ in range(3)]
        assert closed(opened(stack, api))
        first[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert first[0].recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc"])
def test_who_does_not_finish_a_request_is_not_waited_for(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        for before in (b"", whole):
            connection = opened(stack, api)
            connection.sendall(before + said)
            assert closed(connection)


def test_an_answer_may_take_as_long_as_it_takes(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    with ExitStack() as stack:
        stream = opened(stack, api)
        stream.sendall(b"GET /v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(12) == b"HTTP/1.1 200"
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert stream.recv(65536), "a stream of events stays, and its comments come"
