"""Requests that schemathesis makes of the OpenAPI document, to a real daemon over TCP.

No 5xx, and no answer that is not documented.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.service import REPOSITORY, Site
from tests.e2e.test_rest_resources import build

URL = "http://127.0.0.1:8179"
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.mark.timeout(600)
def test_no_request_finds_a_mistake() -> None:
    with Site(stored=True) as site:
        site.listen_at(URL.removeprefix("http://"))
        site.start("--rate-limit", "0")
        build(site)
        token = site.rest.write("POST", "/v1/tokens", {"name": "schemathesis", "scope": "admin"}, 201)
        done = subprocess.run(
            site.gateway.command(
                sys.executable, "-m", "tests.schemathesis_run", URL, str(token_file(site, token["token"]))
            ),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        # All operations but the endless event stream and revoking the run's own token.
        paths = site.rest.get("/openapi.json")["paths"].values()
        operations = sum(method in METHODS for path in paths for method in path)
        assert f"Tested: {operations - 2}" in done.stdout, done.stdout
        # It got through to the resources, and was not merely refused.
        entries = site.rest.all_pages("/v1/audit", limit=1000, actor=f"token {token['id']} (schemathesis)")
        actions = {(entry["action"], entry["kind"]) for entry in entries}
        expected = {
            ("create", "customer_gateways"),
            ("token.create", "tokens"),
            ("reveal", "vpn_connections"),
        }
        assert expected <= actions
        assert "Traceback" not in site.log_path.read_text()


def token_file(site: Site, text: str) -> Path:
    """A private file with a token."""
    path = site.directory / "token"
    path.touch(mode=0o600)
    path.write_text(text)
    return path
