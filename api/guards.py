"""What every request and response passes: host check, size limit, security headers.

A web page that an operator has open could reach a daemon that answers anonymous requests by DNS
rebinding (its own name, resolving to 127.0.0.1), so such requests must name a loopback host. With a token
the name does not matter: no page knows the token. The dashboard's files are the same for everybody, and
behind a proxy with a name of its own they are what asks for the token. No CORS header is ever sent.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import BODY_LIMIT, DOCUMENT, over_tcp, too_large
from api.dashboard import is_file
from api.problems import SECURITY_HEADERS, problem


class Guards:
    """ASGI middleware; see the module. `anonymous`: requests without a token are answered over TCP."""

    def __init__(self, app: ASGIApp, anonymous: bool) -> None:
        self.app = app
        self._anonymous = anonymous

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = _with_headers(send)
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if (
            self._anonymous
            and over_tcp(scope)
            and "authorization" not in headers
            and not is_loopback_host(host)
            and not is_file(scope["path"])
        ):
            detail = f"without a token this API answers only to loopback names and addresses, not to {host!r}"
            await problem(Request(scope), 421, detail)(scope, receive, guarded)
            return
        # The operation says how much it takes once it is known (`access.ScopedRoute`).
        limit = scope[BODY_LIMIT] = [DOCUMENT]
        await self.app(scope, _limited(limit, receive), guarded)


def is_loopback_host(host: str) -> bool:
    """True if a Host header (with or without a port) is `localhost` or a loopback address."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                # The dashboard's pages have a policy of their own, under which they can do something.
                headers.setdefault(name, value)
        await send(message)

    return guarded


def _limited(limit: list[int], receive: Receive) -> Receive:
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit[0]:
            raise too_large(limit[0])
        return message

    return limited
