"""Every request that is answered: its span, and its line in the log."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bgpsvc.tracing import Span, Tracer

log = logging.getLogger("bgpsvc.requests")


class Observed:
    """ASGI middleware. `logged`: a line for each request, with the level `info`.

    Paths are told as they were sent, so no line can be forged; queries are not told.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer, logged: bool) -> None:
        self.app = app
        self._tracer = tracer
        self._logged = logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.monotonic()
        with self._tracer.span(scope["method"], parent=Headers(scope=scope)) as span:
            try:
                await self.app(scope, receive, noting)
            finally:
                # Without an answer an exception is on its way, of which the client will hear 500.
                told = _told(scope, status or 500)
                _describe(span, told)
                if self._logged:
                    told["duration_ms"] = round((time.monotonic() - began) * 1000, 1)
                    text = "%(method)s %(path)s: %(status)s in %(duration_ms)s ms, %(actor)s"
                    log.info(text, told, extra={"request": told})


def _told(scope: Scope, status: int) -> dict[str, Any]:
    actor = scope.get("state", {}).get("actor")
    route = scope.get("route")
    return {
        "method": scope["method"],
        "path": scope["raw_path"].partition(b"?")[0].decode("ascii", "backslashreplace"),
        "route": None if route is None else route.path,
        "status": status,
        "actor": "nobody" if actor is None else actor.name,
        "source": None if actor is None else actor.source,
    }


def _describe(span: Span, told: dict[str, Any]) -> None:
    """By the semantic conventions of OpenTelemetry for HTTP servers."""
    attributes = {
        "http.request.method": told["method"],
        "url.path": told["path"],
        "http.response.status_code": told["status"],
        "enduser.id": told["actor"],
    }
    if told["route"] is not None:
        attributes["http.route"] = told["route"]
        span.name(f"{told['method']} {told['route']}")
    span.set(attributes)
    if told["status"] >= 500:
        span.fail(str(told["status"]))
