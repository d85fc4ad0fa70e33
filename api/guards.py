"""What every request and response passes: host check, size limit, security headers.

The API has no accounts yet and listens on loopback or a unix socket only. A web page that an operator
has open could still reach it by DNS rebinding (its own name, resolving to 127.0.0.1), so over TCP only
requests that name a loopback host are answered. No CORS header is ever sent.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import SECURITY_HEADERS, problem

MAX_BODY = 64 * 1024
"""Bytes; the largest body that any operation needs is far smaller."""


class Guards:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = _with_headers(send)
        host = Headers(scope=scope).get("host", "")
        if _came_over_tcp(scope) and not is_loopback_host(host):
            detail = f"this API answers only to loopback names and addresses, not to {host!r}"
            await problem(Request(scope), 421, detail)(scope, receive, guarded)
            return
        await self.app(scope, _limited(receive), guarded)


def is_loopback_host(host: str) -> bool:
    """True if a Host header (with or without a port) is `localhost` or a loopback address."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _came_over_tcp(scope: Scope) -> bool:
    """A unix socket has no port: there is no name that could resolve to it."""
    server = scope.get("server")
    return server is not None and server[1] is not None


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
        await send(message)

    return guarded


def _limited(receive: Receive) -> Receive:
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise HTTPException(413, f"the body must not be larger than {MAX_BODY} bytes")
        return message

    return limited
