"""The client: which daemon it takes, tokens, TLS, and what it says when it is refused."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.server import Listen
from bgpsvc.cli import client
from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run

TOKEN = "bgpsvc_ab12.c2VjcmV0-secret"


@dataclass
class Answering:
    """A server that answers every request alike, and notes what it was asked."""

    url: str
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def answering(
    status: int,
    body: dict[str, Any],
    *,
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Answering]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            noted.asked.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that does not trust the server goes away; nothing is to be said about that."""

    with Server(("127.0.0.1", 0), Handler) as server:
        noted = Answering(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield noted
        finally:
            server.shutdown()
            thread.join()


EMPTY: dict[str, Any] = {"items": [], "next_cursor": None}


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "gw1.pem"
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(text + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_the_token_comes_from_a_file_or_the_environment(
    bgpsvc: Run, token_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "bgpsvc_other.secret"
    with answering(200, EMPTY) as server:
        bgpsvc("-s", server.url, "get", "tunnels")
        bgpsvc("-s", server.url, "--token-file", token_file, "get", "tunnels")
        monkeypatch.setenv("BGPSVC_TOKEN", other)
        bgpsvc("-s", server.url, "get", "tunnels")
        bgpsvc("-s", server.url, "--token-file", token_file, "get", "tunnels")
        monkeypatch.setenv("BGPSVC_TOKEN_FILE", token_file)
        bgpsvc("-s", server.url, "get", "tunnels")
    given = [headers.get("authorization") for headers in server.asked]
    wanted = f"Bearer {TOKEN}"
    assert given == [None, wanted, f"Bearer {other}", wanted, wanted]


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_token_that_everybody_may_read(bgpsvc: Run, token_file: str, mode: int, warned: bool) -> None:
    Path(token_file).chmod(mode)
    with answering(200, EMPTY) as server:
        result = bgpsvc("-s", server.url, "--token-file", token_file, "get", "tunnels", "-o", "json")
    assert (result.status, json.loads(result.out)["items"]) == (0, [])
    warning = f"bgpsvc: warning: every user may read the token in {token_file} (mode 0644); run: chmod 600 "
    assert result.err.startswith(warning) is warned
    assert TOKEN.partition(".")[2] not in result.err


def test_a_token_does_not_cross_the_network_in_the_clear(bgpsvc: Run, token_file: str) -> None:
    result = bgpsvc("-s", "http://192.0.2.1", "--token-file", token_file, "get", "tunnels")
    assert (result.status, result.out) == (2, "")
    assert "readable for all: use https://192.0.2.1" in result.err
    assert "secret" not in result.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"bgpsvc_ab12secret", "holds no token: one looks like bgpsvc_ID.SECRET"),
        (b"bgpsvc_ab12.secret\nmore", "holds no token"),
        (b"bgpsvc_ab12.se\xffcret", "holds no token"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_token(bgpsvc: Run, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    result = bgpsvc("--token-file", str(path), "get", "tunnels")
    assert (result.status, result.out) == (2, "")
    assert f"{path} {message}" in result.err
    assert "cret" not in result.err


PROBLEM = {"type": "urn:bgpsvc:problem:x", "detail": "no", "title": "", "status": 0, "instance": "/"}


@pytest.mark.parametrize(
    ("status", "token", "headers", "message"),
    [
        (
            401,
            False,
            {},
            "no; give a token with --token-file or BGPSVC_TOKEN; `bgpsvc token create` makes one",
        ),
        (401, True, {}, "no; it may have expired or been revoked: see `bgpsvc token list`"),
        (403, True, {}, "no; `bgpsvc token create --scope SCOPE` makes a token that may do more"),
        (429, True, {"Retry-After": "7"}, "no; try again in 7 s"),
        (429, True, {}, "no; try again later"),
        (409, True, {}, "no\n"),
    ],
)
def test_a_refusal_says_what_helps(
    bgpsvc: Run, token_file: str, status: int, token: bool, headers: dict[str, str], message: str
) -> None:
    options = ["--token-file", token_file] if token else []
    with answering(status, PROBLEM, headers=headers) as server:
        result = bgpsvc("-s", server.url, *options, "get", "tunnels")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"bgpsvc: {message}")


def test_https_is_trusted_by_its_certificate_only(bgpsvc: Run, certificate: Path, token_file: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with answering(200, EMPTY, tls=context) as server:
        stranger = bgpsvc("-s", server.url, "--token-file", token_file, "get", "tunnels")
        assert (stranger.status, stranger.out) == (1, "")
        assert " is not trusted: self-signed certificate; --ca-file names" in stranger.err
        known = bgpsvc("-s", server.url, "--ca-file", str(certificate), "get", "tunnels", "-o", "json")
        assert (known.status, json.loads(known.out)) == (0, {"items": []})
        # Another name of the same machine is not in the certificate.
        url = server.url.replace("127.0.0.1", "localhost")
        assert (
            "is not trusted: Hostname mismatch"
            in bgpsvc("-s", url, "--ca-file", str(certificate), "get", "tunnels").err
        )
    assert len(server.asked) == 1, "no request, and so no token, reaches a server that is not trusted"


def test_a_ca_file_that_is_none(bgpsvc: Run, tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("hello")
    for path, message in ((bad, "holds no certificates"), (tmp_path / "none", "cannot be read: No such")):
        result = bgpsvc("-s", "https://127.0.0.1:1", "--ca-file", str(path), "get", "tunnels")
        assert result.status == 2
        assert message in result.err


def test_the_daemon_of_this_machine_is_the_default(bgpsvc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BGPSVC_SERVER", raising=False)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "api.sock"
        monkeypatch.setattr(client, "DEFAULT_SOCKET", path)
        assert client.Client(None).server == "http://127.0.0.1:8179"
        with RunningApi(listen=Listen(path=str(path))):
            assert client.Client(None).server == f"unix:{path}"
            assert bgpsvc("get", "vpcs").out.splitlines()[1].startswith("vpc1 ")
            monkeypatch.setenv("BGPSVC_SERVER", "127.0.0.1:1")
            assert client.Client(None).server == "127.0.0.1:1"
