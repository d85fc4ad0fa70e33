"""Accounts of a real daemon, asked over TLS from another network namespace, as an operator would."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.certificates import make_certificate
from tests.e2e.service import LONG, REPOSITORY, Site
from tests.e2e.test_rest_resources import build
from tests.netns.namespaces import wait_until

ADDRESS, PORT = "10.0.0.1", 8443
URL = f"https://{ADDRESS}:{PORT}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(stored=True) as made:
        make_certificate(made.directory, ADDRESS)
        made.listen_at(f"{ADDRESS}:{PORT}")
        files = {"--tls-cert": made.directory / "rest.crt", "--tls-key": made.directory / "rest.key"}
        made.options = tuple(part for name, path in files.items() for part in (name, str(path)))
        made.start()
        yield made


def token_file(site: Site, scope: str) -> Path:
    """A token made by the command line over the daemon's own socket, in a private file."""
    made = subprocess.run(
        [
            *(sys.executable, "-m", "bgpsvc", "--server", f"unix:{site.socket_path}"),
            *("token", "create", "--name", f"{scope}-er", "--scope", scope),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    path = site.directory / f"{scope}.token"
    path.touch(mode=0o600)
    path.write_text(made.stdout)
    return path


def client(site: Site, token: Path | None) -> httpx.Client:
    headers = {} if token is None else {"Authorization": f"Bearer {token.read_text().strip()}"}
    context = ssl.create_default_context(cafile=str(site.directory / "rest.crt"))
    return httpx.Client(base_url=URL, headers=headers, verify=context, timeout=30)


def test_beyond_loopback_a_token_is_needed_and_does_what_its_scope_says(site: Site) -> None:
    tokens = {scope: token_file(site, scope) for scope in ("read", "operate", "admin")}
    peer = {"name": "far", "address": "203.0.113.7"}
    with site.host.entered():  # another machine, as far as the daemon can tell
        with client(site, None) as nobody:
            assert nobody.get("/v1/vpcs").status_code == 401
            assert nobody.get("/healthz").status_code in (200, 401)
        with client(site, tokens["read"]) as reader:
            assert reader.get("/v1/customer-gateways").status_code == 200
            assert reader.post("/v1/customer-gateways", json=peer).status_code == 403
        with client(site, tokens["admin"]) as admin:
            made = admin.post("/v1/customer-gateways", json=peer)
            assert made.status_code == 201, made.text
            listed = admin.get("/v1/tokens").json()["items"]
            ident = next(item["id"] for item in listed if item["scope"] == "operate")
            assert admin.delete(f"/v1/tokens/{ident}").status_code in (200, 204)
        with client(site, tokens["operate"]) as revoked:
            assert revoked.get("/v1/vpcs").status_code == 401
    entry = site.rest.get("/v1/audit", kind="customer_gateways")["items"][0]
    assert (entry["action"], entry["name"], entry["source"]) == ("create", "far", "10.0.0.10")
    assert "(admin-er)" in entry["actor"]


def test_the_command_line_works_over_tls_with_a_token_file(site: Site) -> None:
    done = site.host.run(
        *("env", "-C", str(REPOSITORY), sys.executable, "-m", "bgpsvc", "--server", URL),
        *("--ca-file", str(site.directory / "rest.crt"), "--token-file", str(token_file(site, "read"))),
        *("get", "vpn-connections", "-o", "json"),
    )
    assert json.loads(done)["items"] == []


def test_a_renewed_certificate_is_taken_without_a_restart(site: Site) -> None:
    def serial() -> str:
        with site.host.entered():
            return ssl.get_server_certificate((ADDRESS, PORT))

    before = serial()
    make_certificate(site.directory, ADDRESS)
    assert site.daemon is not None
    site.daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: serial() != before, "the new certificate is served", LONG)


def test_secrets_are_nowhere_in_plain_text(site: Site) -> None:
    build(site)
    path = "/v1/vpn-connections/conn1"
    tunnels = [tunnel | {"ike": {}} for tunnel in site.rest.get(path)["config"]["tunnels"]]
    site.rest.write("PATCH", path, {"tunnels": tunnels})
    secrets = site.rest.write("POST", "/v1/vpn-connections/conn1/reveal")["secrets"]
    keys = {pointer: text for pointer, text in secrets.items() if pointer.endswith("pre_shared_key")}
    assert [len(text) for text in keys.values()] == [16, 16], "one was made for each tunnel"
    assert site.rest.get("/v1/audit", limit=1)["items"][0]["action"] == "reveal"
    site.rest.write("POST", "/v1/secrets/rotate-key")
    assert site.rest.write("POST", "/v1/vpn-connections/conn1/reveal")["secrets"] == secrets
    everything = json.dumps([site.rest.get(p, limit=1000) for p in ("/v1/vpn-connections", "/v1/audit")])
    everything += json.dumps(site.rest.get("/v1/configuration"))
    everything += site.log_path.read_text() + " ".join(site.processes().values())
    files = [Path(folder) / name for folder, _, names in os.walk(site.state_dir) for name in names]
    for text in keys.values():
        assert text not in everything
        for path in files:
            if path.is_file():
                assert text.encode() not in path.read_bytes(), f"{path} holds the key"
    for name in ("bgpsvc.db", "secret.key"):
        assert stat.S_IMODE((site.state_dir / name).stat().st_mode) == 0o600
    site.stop()
    site.start()
    assert site.rest.write("POST", "/v1/vpn-connections/conn1/reveal")["secrets"] == secrets


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--listen", "10.0.0.1:8443"), "--tls-cert"),
        (("--listen", "127.0.0.1:8443", "--tls-cert", "x.crt"), "belong together"),
    ],
)
def test_what_is_not_safe_is_refused(site: Site, options: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        site.gateway.command(
            sys.executable, "-m", "bgpsvc", "serve", "--state-dir", str(site.directory / "other"), *options
        ),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
