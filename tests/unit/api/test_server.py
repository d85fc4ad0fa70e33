"""Where the server listens, and who may reach it there."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from api.server import Listen, bind, parse_listen
from tests.fakes.server import RunningApi
from tests.fakes.service import ACTIVE, STANDBY


@pytest.fixture
def path() -> Iterator[Path]:
    """A short path for a socket: the kernel takes 107 bytes."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "api.sock"


def test_a_unix_socket_is_for_owner_and_group_and_goes_with_the_server(path: Path) -> None:
    with RunningApi(listen=Listen(path=str(path))) as api:
        assert api.url == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://any.example") as client:
            assert [s["id"] for s in client.get("/v1/bgp-sessions").json()["items"]] == [ACTIVE, STANDBY]
    assert not path.exists()


def test_a_leftover_socket_is_replaced_and_one_in_use_is_not(path: Path) -> None:
    bind(Listen(path=str(path))).close()
    with bind(Listen(path=str(path))) as served:
        served.listen()
        with pytest.raises(OSError, match="another process serves it"):
            bind(Listen(path=str(path)))
    path.unlink()
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        bind(Listen(path=str(path)))
    assert path.read_text() == "precious"


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind(Listen(port=port))


def test_what_is_sent_is_not_held_back() -> None:
    """With Nagle's algorithm the body of a response waits for the acknowledgement of its head, 40 ms."""
    with bind(Listen()) as listening:
        assert listening.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on such sockets only"


def test_ipv6_loopback() -> None:
    with RunningApi(listen=Listen(host="::1")) as api:
        assert api.url.startswith("http://[::1]:")
        assert httpx.get(f"{api.url}/healthz").status_code == 200


def test_listen_addresses() -> None:
    assert parse_listen("127.0.0.1:8179") == Listen(host="127.0.0.1", port=8179)
    assert parse_listen("localhost:0") == Listen(host="127.0.0.1", port=0)
    assert parse_listen("[::1]:8179") == Listen(host="::1", port=8179)
    assert parse_listen("unix:/run/bgpsvc.sock") == Listen(path="/run/bgpsvc.sock")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0.0.0:8179", "loopback"),
        ("10.1.2.3:80", "loopback"),
        ("[::]:80", "loopback"),
        ("example.com:80", "not an IP address"),
        ("127.0.0.1", "not an address and a port"),
        ("127.0.0.1:http", "not an address and a port"),
        ("127.0.0.1:70000", "not an address and a port"),
        ("unix:run.sock", "absolute"),
    ],
)
def test_other_addresses_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_listen(text)


def test_an_inherited_socket_is_held_to_the_same_rule() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mine:
        listen = parse_listen(f"fd:{mine.detach()}")
        with RunningApi(listen=listen) as api:
            assert httpx.get(f"{api.url}/healthz").status_code == 200
    with socket.create_server(("0.0.0.0", 0)) as wide:
        with pytest.raises(OSError, match="TLS only"):
            bind(parse_listen(f"fd:{wide.fileno()}"))
        wide.detach()
    with pytest.raises(ValueError, match="number of an inherited"):
        parse_listen("fd:x")
