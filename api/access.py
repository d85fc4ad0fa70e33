"""Who asks, and whether they may: checked for each operation before anything else of the request is read.

Whoever reaches the unix socket is its owner or in its group (mode 0660) and may do everything. Over TCP
a bearer token (RFC 6750) says who asks; without one the daemon may have a scope for anonymous requests,
which it gives on loopback only. An operation says what it needs when it is declared (`needs`): one that
does not cannot be made.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from api.limits import Buckets, FailureLog, Limits, caller_of, retry_after
from bgpsvc.control import Actor, Control, Scope, StoreUnavailable

log = logging.getLogger(__name__)

SCOPE = "x-required-scope"
MAX_BODY = "x-max-body-bytes"
SMALL, DOCUMENT, BULK = 64 * 1024, 1024 * 1024, 16 * 1024 * 1024
"""Bytes of the largest body: of a plain operation, of one resource, of a whole configuration."""
BODY_LIMIT = "bgpsvc.body_limit"
"""Key of the ASGI scope: a list of one number, the bytes that the request's body may have."""
PUBLIC = "none"
FILES = 4
"""So many times as often as operations may files be asked for: the dashboard is a hundred of them."""
UNIX_SOCKET, ANONYMOUS = "unix socket", "anonymous"
_TOKEN = re.compile(r"bgpsvc_[A-Za-z0-9]{1,64}\.[A-Za-z0-9_-]{1,256}")
_SAFE = ("GET", "HEAD", "OPTIONS")


def needs(scope: Scope | None, *, body: int = SMALL, **extra: Any) -> dict[str, Any]:
    """`openapi_extra=` of an operation: its scope (None: open to everybody) and the size of its body."""
    return {SCOPE: PUBLIC if scope is None else scope.value, MAX_BODY: body, **extra}


class ScopedRoute(APIRoute):
    """A route that lets nobody in without the scope it declares. `file`: what it serves is no operation."""

    file = False

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        declared = (given.get("openapi_extra") or {}).get(SCOPE)
        if declared is None:
            raise TypeError(f"{path}: an operation must say which scope it needs, see api.access.needs")
        self.scope = None if declared == PUBLIC else Scope(declared)
        self.max_body = int(given["openapi_extra"][MAX_BODY])
        super().__init__(path, endpoint, **given)

    async def handle(self, scope: Connection, receive: Receive, send: Send) -> None:
        if self.methods and scope["method"] not in self.methods:
            raise HTTPException(405, headers={"Allow": allowed_at(scope)})
        access: Access = scope["app"].state.access
        if self.scope is not None:
            scope.setdefault("state", {})["actor"] = await access.admit(scope, self.scope)
        else:
            access.count(scope, self.file)
        scope[BODY_LIMIT][0] = self.max_body
        _refuse_large_body(scope, self.max_body)
        await super().handle(scope, receive, send)


def allowed_at(scope: Connection) -> str:
    """The methods of all operations at a path (RFC 9110 10.2.1), whichever of them was found first."""
    routes: list[ScopedRoute] = scope["app"].state.routes
    return ", ".join(
        sorted({m for r in routes if r.path_regex.match(scope["path"]) for m in r.methods or ()})
    )


def _refuse_large_body(scope: Connection, most: int) -> None:
    """Before a byte of it is read, if the client says how long it is."""
    length = Headers(scope=scope).get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
        raise too_large(most)


def too_large(most: int) -> HTTPException:
    """413."""
    return HTTPException(413, f"the body must not be larger than {most} bytes")


class Access:
    """Tells who asks, and counts how often. `clock` in seconds; it never goes back."""

    def __init__(
        self,
        control: Control,
        anonymous: Scope | None,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.control = control
        self.anonymous = anonymous
        self._clock = clock
        self._requests = Buckets(limits.rate, limits.burst, limits.callers)
        self._files = Buckets(limits.rate * FILES, limits.burst * FILES, limits.callers)
        self._failures = Buckets(limits.failure_rate, limits.failure_burst, limits.callers)
        self._log = FailureLog(limits.callers)

    async def admit(self, scope: Connection, needed: Scope) -> Actor:
        """Who asks, if they may do what needs `needed`; else 401, 403 or 429 is raised."""
        actor = await self.identify(scope)
        if actor.name != UNIX_SOCKET:
            self._take(self._requests, f"token {actor.token}" if actor.token else _caller(scope))
        if not actor.scope.includes(needed):
            raise forbidden(actor, needed)
        return actor

    async def identify(self, scope: Connection) -> Actor:
        """Who asks."""
        if not over_tcp(scope):
            return Actor(UNIX_SOCKET, Scope.ADMIN, scope["server"][0])
        given = Headers(scope=scope).getlist("authorization")
        if not given and self.anonymous is not None:
            _refuse_foreign_page(scope)
            return Actor(ANONYMOUS, self.anonymous, _address(scope))
        if not given:
            self._count_failure(scope)
            raise unauthorized("a token is needed: Authorization: Bearer bgpsvc_…", None)
        kind, _, token = given[0].partition(" ")
        token = token.strip()
        if len(given) > 1 or kind.lower() != "bearer" or not _TOKEN.fullmatch(token):
            await self._refuse(
                scope, "the Authorization header has no token of the form bgpsvc_<id>.<secret>"
            )
        actor = await self.control.authenticate(token, _address(scope))
        if actor is None:
            await self._refuse(scope, "the token is unknown, wrong, expired or revoked")
        return actor

    async def still(self, scope: Connection, needed: Scope) -> bool:
        """True while whoever asked may go on: for responses that do not end by themselves."""
        if not over_tcp(scope):
            return True
        given = Headers(scope=scope).get("authorization")
        if given is None:
            return self.anonymous is not None and self.anonymous.includes(needed)
        actor = await self.control.authenticate(given.partition(" ")[2].strip(), _address(scope))
        return actor is not None and actor.scope.includes(needed)

    def count(self, scope: Connection, file: bool) -> None:
        """Counts a request that needs no scope; 429 if there are too many."""
        if over_tcp(scope):
            self._take(self._files if file else self._requests, _caller(scope))

    async def _refuse(self, scope: Connection, reason: str) -> NoReturn:
        self._count_failure(scope)
        unreported = self._log.note(_caller(scope), self._clock())
        if unreported is not None:
            # Not a scope that anybody has: the entry is about somebody who did not get in.
            nobody = Actor("unknown", Scope.READ, _address(scope))
            details = {"reason": reason, "unreported_before": unreported}
            try:
                await self.control.record("authentication.failed", None, None, None, details, nobody)
            except StoreUnavailable as error:
                log.warning(
                    "a failed authentication from %s is not in the audit log: %s", nobody.source, error
                )
        raise unauthorized(reason, "invalid_token")

    def _count_failure(self, scope: Connection) -> None:
        self._take(self._requests, _caller(scope))
        self._take(self._failures, _caller(scope))

    def _take(self, buckets: Buckets, caller: str) -> None:
        wait = buckets.take(caller, self._clock())
        if wait > 0:
            raise HTTPException(
                429,
                "too many requests; Retry-After says when to ask again",
                {"Retry-After": retry_after(wait)},
            )


def over_tcp(scope: Connection) -> bool:
    """True unless the request came over a unix socket, which has a path and no port. In doubt it is TCP."""
    server = scope.get("server")
    return server is None or server[1] is not None


def unauthorized(reason: str, error: str | None) -> HTTPException:
    """401 with the challenge (RFC 6750 3)."""
    challenge = 'Bearer realm="bgpsvc"' + (f', error="{error}"' if error else "")
    return HTTPException(401, reason, {"WWW-Authenticate": challenge})


def forbidden(actor: Actor, needed: Scope) -> HTTPException:
    """403."""
    return HTTPException(403, f"this needs the scope {needed.value}; {actor.name} has {actor.scope.value}")


def _refuse_foreign_page(scope: Connection) -> None:
    """A web page elsewhere can make the browser of somebody on this machine send a POST here (CSRF)."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if scope["method"] in _SAFE or origin is None:
        return
    if origin.partition("://")[2] != headers.get("host", ""):
        raise HTTPException(403, f"changes are not taken from pages of {origin!r}")


def _address(scope: Connection) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


def _caller(scope: Connection) -> str:
    return caller_of(_address(scope))


async def get_actor(request: Request) -> Actor:
    """Who was let in."""
    actor: Actor = request.state.actor
    return actor


ActorDep = Annotated[Actor, Depends(get_actor)]
