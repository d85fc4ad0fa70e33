"""The dashboard's files: what is served, how, under which policy, and that nothing else is."""

from __future__ import annotations

import asyncio
import http.client
import re
from pathlib import Path

import httpx
from fastapi import FastAPI

from api.app import create_app
from api.dashboard import TYPES, WEB, read_assets
from api.limits import Limits
from api.problems import SECURITY_HEADERS
from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.fakes.server import RunningApi
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client

TCP = "http://gateway.example:8179"
POLICY = {
    "default-src": {"'none'"},
    "script-src": {"'self'"},
    "style-src": {"'self'"},
    "img-src": {"'self'", "data:"},
    "connect-src": {"'self'"},
    "form-action": {"'none'"},
    "base-uri": {"'none'"},
    "frame-ancestors": {"'none'"},
}
NAMES = sorted(read_assets())
SCRIPTS = [name for name in NAMES if name.endswith(".js")]
OWN_SCRIPTS = [name for name in SCRIPTS if not name.startswith("vendor/")]
IMPORT = re.compile(
    r"""(?:\b(?:import|export)\b[^'"();]*\bfrom\s*|\bimport\s*\(\s*|^import\s+)["']([^"']+)["']""",
    re.MULTILINE,
)
URL = re.compile(r"""url\(\s*["']?([^"')]+)""")


def ask(app: FastAPI, method: str, path: str, **headers: str) -> httpx.Response:
    """A request from far away without a token. Pages are no operations: the contract does not know them."""

    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=TCP) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(sent())


def asked_of(name: str) -> str:
    return "/" if name == "index.html" else f"/assets/{name}"


def test_everything_is_served_to_everybody_with_its_type_and_policy(app: FastAPI) -> None:
    for name in NAMES:
        response = ask(app, "GET", asked_of(name))
        assert response.status_code == 200, name
        assert response.content == (WEB / name).read_bytes()
        assert response.headers["content-type"] == TYPES[Path(name).suffix]
        assert response.headers["cache-control"] == "no-cache"
        given = [part.split() for part in response.headers["content-security-policy"].split(";")]
        assert {directive: set(sources) for directive, *sources in given} == POLICY
        for header, value in SECURITY_HEADERS.items():
            if header not in ("Cache-Control", "Content-Security-Policy"):
                assert response.headers[header] == value, f"{name}: {header}"


def test_the_pages_own_policy_is_that_of_no_other_answer(app: FastAPI) -> None:
    for path in ("/v1/vpcs", "/healthz", "/nowhere", "/assets/nowhere.js"):
        headers = ask(app, "GET", path).headers
        for header, value in SECURITY_HEADERS.items():
            assert headers[header] == value, f"{path}: {header}"


def test_who_has_a_file_already_gets_no_bytes(app: FastAPI) -> None:
    first = ask(app, "GET", "/assets/app.js")
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = ask(app, "GET", "/assets/app.js", **{"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == "no-cache"
    for other in ('"other"', etag.strip('"'), ""):
        assert ask(app, "GET", "/assets/app.js", **{"If-None-Match": other}).status_code == 200, other
    assert etag != ask(app, "GET", "/").headers["etag"]


def test_behind_a_name_of_its_own_the_page_is_there_to_ask_for_a_token(
    service: FakeService, control: FakeControl
) -> None:
    """Who has no token is somebody on loopback only (`api.guards`); the files are the same for everybody."""
    app = create_app(service, control, version="0.1.0", anonymous=Scope.ADMIN)
    assert [ask(app, "GET", path).status_code for path in ("/", "/assets/app.js")] == [200, 200]
    assert [ask(app, "GET", path).status_code for path in ("/v1/whoami", "/v1/vpcs", "/assets")] == [421] * 3


def test_loading_the_page_again_and_again_uses_nobodys_requests_up(
    service: FakeService, control: FakeControl
) -> None:
    """It is a hundred files, and half a page is none; but not even files may be asked for without end."""
    app = create_app(service, control, version="0.1.0", limits=Limits(rate=0.001, burst=3))
    assert [ask(app, "GET", "/assets/app.js").status_code for _ in range(13)] == [200] * 12 + [429]
    assert [ask(app, "GET", "/healthz").status_code for _ in range(4)] == [200] * 3 + [429]


def test_head_is_get_without_a_body(app: FastAPI) -> None:
    for path in ("/", "/assets/app.js", "/assets/style/base.css"):
        whole, head = ask(app, "GET", path), ask(app, "HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert dict(head.headers) == dict(whole.headers)


ELSEWHERE = (
    "/assets/",
    "/assets/index.html",
    "/assets/package.json",
    "/assets/vendor/README.md",
    "/assets/vendor/LICENSE.preact",
    "/index.html",
    "/assets/APP.JS",
    "/assets/../dashboard.py",
    "/assets/..%2f..%2fpyproject.toml",
    "/assets/%2e%2e/%2e%2e/pyproject.toml",
    "/assets/core/../app.js",
    "/assets/core/./http.js",
    "/assets/core//http.js",
    "/assets/core\\http.js",
    "/assets//etc/passwd",
    "/assets/%2fetc%2fpasswd",
    "/assets/app.js%00.css",
    "//assets/app.js",
)


def test_only_the_names_found_at_start_are_there(running: RunningApi) -> None:
    """Over a socket: a client would tidy these paths up before it sends them; an attacker's does not."""
    url = httpx.URL(running.url)
    assert url.host is not None
    connection = http.client.HTTPConnection(url.host, url.port)
    try:
        for path in ("/assets/core/http.js", *ELSEWHERE):
            connection.putrequest("GET", path)
            connection.endheaders()
            response = connection.getresponse()
            body = response.read()
            if path in ELSEWHERE:
                assert response.status == 404, path
                assert response.getheader("content-type") == "application/problem+json", path
                assert b"import" not in body, path
            else:
                assert response.status == 200, path
    finally:
        connection.close()


def test_nothing_else_can_be_done_with_them(app: FastAPI, client: Client) -> None:
    for path in ("/", "/assets/app.js"):
        response = client("POST", path)
        assert response.status_code == 405
        assert response.headers["allow"] == "GET, HEAD"


def test_files_that_come_later_or_are_of_another_type_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.js").write_text("1")
    (tmp_path / "secret.pem").write_text("2")
    (tmp_path / "notes.md").write_text("3")
    assets = read_assets(tmp_path)
    assert list(assets) == ["a/b.js"]
    (tmp_path / "a" / "b.js").write_text("changed")
    assert assets["a/b.js"].body == b"1"
    assert read_assets(tmp_path)["a/b.js"].etag != assets["a/b.js"].etag


def test_the_pages_etag_changes_with_every_file(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("page")
    (tmp_path / "app.js").write_text("1")
    first = read_assets(tmp_path)
    assert read_assets(tmp_path) == first
    (tmp_path / "app.js").write_text("2")
    second = read_assets(tmp_path)
    assert second["index.html"].body == first["index.html"].body
    assert second["index.html"].etag != first["index.html"].etag


def test_every_import_and_link_leads_to_a_file_that_is_served() -> None:
    served = {WEB / name for name in NAMES}
    for name in SCRIPTS:
        for target in IMPORT.findall((WEB / name).read_text()):
            assert target.startswith("."), f"{name} imports {target}: no import map resolves that"
            assert (WEB / name).parent.joinpath(target).resolve() in served, f"{name} imports {target}"
    for name in NAMES:
        for target in URL.findall((WEB / name).read_text()) if name.endswith(".css") else ():
            assert (WEB / name).parent.joinpath(target).resolve() in served, f"{name} needs {target}"
    page = (WEB / "index.html").read_text()
    for target in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert target.startswith("assets/"), target
        assert WEB / target.removeprefix("assets/") in served, target
    for name in re.findall(r"import\('\./pages/[^']+'\), '([^']+)'", (WEB / "app.js").read_text()):
        assert f"style/pages/{name}.css" in NAMES, name


def test_nothing_of_it_needs_what_the_policy_forbids() -> None:
    page = (WEB / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)
    for name in OWN_SCRIPTS:
        text = (WEB / name).read_text()
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "dangerouslySetInnerHTML",
            "eval(",
            "new Function",
        ):
            assert word not in text, f"{name}: {word}"
        # The token is in no place that outlives the tab, and in no address.
        assert "localStorage" not in text or name == "core/theme.js", name


def test_vendored_files_are_named_with_version_and_license() -> None:
    notes = (WEB / "vendor" / "README.md").read_text()
    for path in (WEB / "vendor").iterdir():
        if path.name != "README.md":
            assert f"`{path.name}`" in notes, path.name
