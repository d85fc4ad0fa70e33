"""The dashboard's files: read into memory at start, and answered from there.

A request's path is looked up in a table of the names that were found then; it never reaches the file
system, so there is nothing to traverse. The files hold nothing secret and are open to everybody; what they
show comes from the API, which asks for a token. They are no operations: the OpenAPI document leaves them out.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from api.access import ScopedRoute, needs

WEB = Path(__file__).parent / "web"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by suffix; other files beside them (licenses, notes) are not."""
HEADERS = {
    # Ask each time whether it is still the same: after an upgrade nobody mixes old modules with new ones.
    "Cache-Control": "no-cache",
    # No inline script or style, nothing from elsewhere, and no form that leads away.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class FileRoute(ScopedRoute):
    """A route to files."""

    file = True


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served. `etag` is quoted, as in the header."""

    body: bytes
    media_type: str
    etag: str


def read_assets(directory: Path = WEB) -> dict[str, Asset]:
    """All files of `directory` that are served, by their path below it with `/` between its parts.

    The ETag of the page itself stands for all of them."""
    found = {}
    for path in sorted(directory.rglob("*")):
        media_type = TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            body = path.read_bytes()
            found[path.relative_to(directory).as_posix()] = Asset(body, media_type, _etag(body))
    if INDEX in found:
        # Changes with every file: a page that has been open for long sees by it that it is an old one.
        every = "".join(asset.etag for asset in found.values())
        found[INDEX] = dataclasses.replace(found[INDEX], etag=_etag(every.encode()))
    return found


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


@functools.cache
def _own_assets() -> Mapping[str, Asset]:
    return read_assets()


def is_file(path: str) -> bool:
    """True for the paths at which files are served, whether they are there or not."""
    return path == "/" or path.startswith("/assets/")


def router(assets: Mapping[str, Asset] | None = None) -> APIRouter:
    """`GET` and `HEAD` of `/` and `/assets/PATH`; `assets` as `read_assets` gives them (None: our own)."""
    files = _own_assets() if assets is None else assets
    made = APIRouter(route_class=FileRoute)

    async def get_index(request: Request) -> Response:
        return answer(request, files[INDEX])

    async def get_asset(request: Request, path: str) -> Response:
        asset = files.get(path)
        if asset is None or path == INDEX:
            raise HTTPException(404, "there is no such file")
        return answer(request, asset)

    _serve(made, "/", get_index)
    _serve(made, "/assets/{path:path}", get_asset)
    return made


def _serve(made: APIRouter, path: str, handler: Callable[..., Coroutine[Any, Any, Response]]) -> None:
    made.add_api_route(
        path, handler, methods=["GET", "HEAD"], include_in_schema=False, openapi_extra=needs(None)
    )


def answer(request: Request, asset: Asset) -> Response:
    """The file, or 304 to who has it already (RFC 9110 13.1.2: a weak comparison)."""
    headers = {**HEADERS, "ETag": asset.etag}
    if _known(request.headers.get("if-none-match", ""), asset.etag):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        headers["Content-Length"] = str(len(asset.body))
        return Response(headers=headers, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


def _known(given: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return etag in tags or tags == ["*"]
