"""TLS: certificates, their renewal while the server runs, and where the API may listen with and without."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.app import create_app
from api.server import ApiServer, ApiServers, Listen, bind, parse_listen
from api.tls import Tls, load
from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.fakes.server import RunningApi, until
from tests.fakes.service import FakeService


def make(folder: Path, name: str, *, password: bytes | None = None) -> Tls:
    """A self-signed certificate for localhost and 127.0.0.1 whose common name is `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.datetime(2025, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    tls = Tls(folder / f"{name}.crt", folder / f"{name}.key")
    tls.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    protection = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    )
    tls.key.touch(mode=0o600)
    tls.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    )
    return tls


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as path:
        yield Path(path)


def client_of(tls: Tls) -> ssl.SSLContext:
    """Trusts that certificate only."""
    return ssl.create_default_context(cafile=str(tls.cert))


def url_of(api: RunningApi) -> str:
    assert api.url.startswith("https://127.0.0.1:")
    return api.url.replace("127.0.0.1", "localhost")


def test_tokens_over_tls(folder: Path) -> None:
    tls = make(folder, "gateway")
    with RunningApi(tls=tls, anonymous=None) as api:
        token = api.control.add_token("far", Scope.READ).text
        with httpx.Client(verify=client_of(tls), base_url=url_of(api)) as client:
            assert client.get("/v1/vpcs").status_code == 401
            found = client.get("/v1/vpcs", headers={"Authorization": f"Bearer {token}"})
            assert [vpc["name"] for vpc in found.json()["items"]] == ["vpc1"]
        with pytest.raises(httpx.TransportError):
            httpx.get(api.url.replace("https", "http"))


def test_old_versions_of_tls_are_refused(folder: Path) -> None:
    tls = make(folder, "gateway")
    assert load(tls).minimum_version == ssl.TLSVersion.TLSv1_2
    old = client_of(tls)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with RunningApi(tls=tls) as api, pytest.raises(httpx.ConnectError):
        httpx.get(f"{url_of(api)}/healthz", verify=old)


def test_a_new_certificate_is_for_new_connections(folder: Path) -> None:
    tls, other = make(folder, "first"), make(folder, "second")
    trust = client_of(tls)
    with RunningApi(tls=tls) as api, httpx.Client(verify=trust, base_url=url_of(api)) as opened:
        assert opened.get("/healthz").status_code == 200
        certificate, key = tls.cert.read_bytes(), tls.key.read_bytes()
        # Half a renewal: the key does not fit, and what was there stays.
        tls.cert.write_bytes(other.cert.read_bytes())
        with pytest.raises(OSError, match="does not belong to the certificate"):
            api.server.reload_certificates()
        assert httpx.get(f"{url_of(api)}/healthz", verify=trust).status_code == 200
        tls.key.write_bytes(other.key.read_bytes())
        api.server.reload_certificates()
        assert httpx.get(f"{url_of(api)}/healthz", verify=client_of(other)).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url_of(api)}/healthz", verify=trust)
        assert opened.get("/healthz").status_code == 200
        tls.cert.write_bytes(certificate)
        tls.key.write_bytes(key)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644, 0o666])
def test_a_key_that_others_may_touch_is_refused(folder: Path, mode: int) -> None:
    tls = make(folder, "gateway")
    tls.key.chmod(mode)
    with pytest.raises(
        OSError, match=f"gateway.key is open to others \\(mode {mode:04o}\\); it must have mode"
    ):
        load(tls)
    tls.key.chmod(0o640)
    load(tls)


def test_files_that_are_none_are_named(folder: Path) -> None:
    tls = make(folder, "gateway")
    with pytest.raises(OSError, match=r"the TLS key .*/absent cannot be read: No such file"):
        load(Tls(tls.cert, folder / "absent"))
    with pytest.raises(OSError, match=r"the TLS certificate .*/absent cannot be read: No such file"):
        load(Tls(folder / "absent", tls.key))
    with pytest.raises(OSError, match="does not belong to the certificate"):
        load(Tls(make(folder, "other").cert, tls.key))
    with pytest.raises(OSError, match="encrypted with a password"):
        load(make(folder, "locked", password=b"secret"))
    tls.cert.write_text("no certificate")
    with pytest.raises(OSError, match="are no TLS certificate and key in PEM form"):
        load(tls)


@pytest.mark.parametrize("text", ["0.0.0.0:8179", "10.1.2.3:443", "[::]:443", "[2001:db8::1]:443"])
def test_beyond_loopback_it_is_tls_and_tokens(text: str) -> None:
    with pytest.raises(ValueError, match="give --tls-cert and --tls-key"):
        parse_listen(text)
    with pytest.raises(ValueError, match=r"without tokens .*loopback"):
        parse_listen(text, tls=True, anonymous=True)
    listen = parse_listen(text, tls=True)
    assert str(listen) == text
    with pytest.raises(OSError, match="TLS only"):
        bind(listen)


def test_a_header_does_not_change_who_asks(folder: Path) -> None:
    with RunningApi(anonymous=None) as api:
        headers = {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer nonsense"}
        assert httpx.get(f"{api.url}/v1/vpcs", headers=headers).status_code == 401
        assert [entry.source for entry in api.control.log] == ["127.0.0.1"]


def test_several_servers_run_and_stop_together(folder: Path) -> None:
    tls = make(folder, "gateway")
    path = folder / "api.sock"

    async def use() -> None:
        service = FakeService()
        app = create_app(service, FakeControl(service), version="0.1.0")
        servers = ApiServers(
            [
                ApiServer(app, Listen()),
                ApiServer(app, Listen(), tls=tls),
                ApiServer(app, Listen(path=str(path))),
            ]
        )
        running = asyncio.create_task(servers.serve())
        await asyncio.to_thread(until, lambda: servers.started, "start of the servers")
        clear, secure, unix = servers.addresses
        assert clear.startswith("http://")
        assert secure.startswith("https://")
        assert unix == f"unix:{path}"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        servers.reload_certificates()
        tls.key.chmod(0o644)
        with pytest.raises(OSError, match="open to others"):
            servers.reload_certificates()
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, base_url="http://any") as local:
            assert (await local.get("/v1/vpcs")).status_code == 200
            async with httpx.AsyncClient(verify=client_of(tls)) as far:
                assert (await far.get(f"{clear}/v1/vpcs")).status_code == 401
                answer = await far.get(f"{secure.replace('127.0.0.1', 'localhost')}/v1/vpcs")
                assert answer.status_code == 401
                async with local.stream("GET", "/v1/events/stream") as stream:
                    assert stream.status_code == 200
                    servers.stop()
                    await asyncio.wait_for(running, 10)
        assert not path.exists()

    asyncio.run(use())


def test_one_server_that_fails_stops_the_others() -> None:
    class Broken(ApiServer):
        async def serve(self, sockets: object = None) -> None:
            self._socket.close()
            raise OSError("it broke")

    async def use() -> None:
        service = FakeService()
        app = create_app(service, FakeControl(service), version="0.1.0")
        servers = ApiServers([ApiServer(app, Listen()), Broken(app, Listen())])
        with pytest.raises(OSError, match="it broke"):
            await asyncio.wait_for(servers.serve(), 10)

    asyncio.run(use())
