"""Errors as `application/problem+json` (RFC 9457), whatever part of the stack they come from.

`type` is a URN that names the kind of problem and never changes; `detail` is for people. A 422
lists every mistake in `errors`: `in` says which part of the request, `pointer` is the place inside
it as a JSON pointer in fragment form (RFC 6901 6), `detail` what is wrong there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bgpsvc.control import (
    AlreadyExists,
    IdempotencyConflict,
    InUse,
    InvalidDocument,
    ReadOnly,
    StoreUnavailable,
)
from bgpsvc.port import InvalidQuery, NotFound, NotMade, PreconditionFailed, TooManyDumps

PROBLEM_JSON = "application/problem+json"
URN = "urn:bgpsvc:problem:"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class NotStored(Exception):
    """The service could not store a change, and so has not made it."""


class BadBody(ValueError):
    """The body cannot be read as a JSON object at all."""


class BadPath(ValueError):
    """A parameter of the path cannot be understood. `field` names it."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


SLUGS: dict[int, str] = {
    400: "malformed-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    412: "precondition-failed",
    413: "request-too-large",
    415: "unsupported-media-type",
    421: "wrong-host",
    422: "invalid-request",
    429: "too-many-requests",
    500: "internal-error",
    503: "not-ready",
}
NOT_STORED = "not-stored"
STORE_UNAVAILABLE = "store-unavailable"
ALREADY_EXISTS = "already-exists"
IN_USE = "in-use"
NOT_MADE = "not-made"
READ_ONLY = "read-only"
IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
CLIENT_CLOSED_REQUEST = 499
"""Status of an answer that nobody gets: the client is gone."""

EXAMPLES: dict[int, dict[str, Any]] = {
    401: {"detail": "the token is unknown, wrong, expired or revoked", "instance": "/v1/vpn-gateways"},
    403: {
        "detail": "this needs the scope admin; token 4f7c2a (dashboard) has read",
        "instance": "/v1/vpn-gateways/gw1",
    },
    409: {
        "type": URN + IN_USE,
        "detail": "customer gateway cgw1 is in use by VPN connection conn1",
        "instance": "/v1/customer-gateways/cgw1",
        "users": ["VPN connection conn1"],
    },
    429: {
        "detail": "too many requests; Retry-After says when to ask again",
        "instance": "/v1/vpn-gateways",
    },
    404: {"detail": "there is no VPN gateway 'gw2'; there is gw1", "instance": "/v1/vpn-gateways/gw2"},
    412: {
        "detail": 'the VPN gateway has changed since it was read: its ETag is now "3"',
        "instance": "/v1/vpn-gateways/gw1",
    },
    415: {
        "detail": "the body must be application/merge-patch+json or application/json, not text/plain",
        "instance": "/v1/vpn-gateways/gw1",
    },
    422: {
        "detail": "the request has 1 mistake",
        "instance": "/v1/vpn-gateways/gw1/routes",
        "errors": [
            {
                "in": "query",
                "pointer": "#/prefix",
                "detail": "'10.0.0.1/8' is not a prefix: host bits are set",
            }
        ],
    },
    500: {"detail": "the service made a mistake; its log has the details", "instance": "/v1/vpcs"},
    503: {
        "detail": "not ready: speaker.standby",
        "instance": "/readyz",
        "checks": {
            "speaker.active": {"ok": True, "detail": "running for 512 s"},
            "speaker.standby": {"ok": False, "detail": "exited with status 1, next start in 4 s"},
        },
    },
}


def _head(status: int, slug: str | None = None) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    kind = slug or SLUGS.get(status)
    return {
        "type": URN + kind if kind else "about:blank",
        "title": phrase,
        "status": status,
    }


def example(status: int) -> dict[str, Any]:
    """A whole problem document of that status, for the OpenAPI document."""
    return _head(status) | EXAMPLES[status]


class FieldProblem(BaseModel):
    """One mistake in a request."""

    model_config = ConfigDict(
        serialize_by_alias=True,
        json_schema_extra={
            "examples": [
                {
                    "in": "query",
                    "pointer": "#/limit",
                    "detail": "must be less than or equal to 1000, not 5000",
                }
            ]
        },
    )

    location: Literal["body", "query", "path", "header"] = Field(
        alias="in", description="Part of the request that the mistake is in."
    )
    pointer: str = Field(
        description="JSON pointer to the place, in fragment form: `#/mode` is the body's member or the "
        "parameter `mode`, `#` the whole body.",
    )
    detail: str = Field(description="What is wrong there, and what is allowed.")
    value: str | None = Field(
        default=None, description="What was given, in documents only; left out if it is a secret."
    )
    allowed: str | None = Field(default=None, description="What is allowed there, in documents only.")


class Problem(BaseModel):
    """What went wrong, as RFC 9457 describes it."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [example(404), example(422)]})

    type: str = Field(description="URN of the kind of problem, for programs; stable.")
    title: str = Field(description="The kind of problem in a few words; the same for every occurrence.")
    status: int = Field(description="The HTTP status code of the response.")
    detail: str = Field(description="What happened this time, in a sentence for people.")
    instance: str = Field(description="Path of the request.")
    errors: list[FieldProblem] | None = Field(
        default=None, description="Every mistake of the request; only with status 422."
    )
    users: list[str] | None = Field(
        default=None, description="What refers to the resource; only with the type in-use."
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of an operation: the problems it can answer with, by status."""
    return {status: _documented(status, HTTPStatus(status).phrase) for status in statuses}


def documented_write(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of an operation that writes to the store."""
    shown = _head(503, STORE_UNAVAILABLE) | {
        "detail": "the database does not answer; nothing was changed",
        "instance": "/v1/vpn-gateways/gw1",
    }
    return {**documented(*statuses), 503: _documented(503, "The store is unavailable", shown)}


def documented_not_stored() -> dict[int | str, dict[str, Any]]:
    """`responses=` of an operation that stores an operator's choice: the disk may be full."""
    shown = _head(503, NOT_STORED) | {
        "detail": "the change was not made: No space left on device",
        "instance": "/v1/vpn-gateways/gw1",
    }
    return {503: _documented(503, "The choice cannot be stored", shown)}


def documented_not_made() -> dict[int | str, dict[str, Any]]:
    """`responses=` of an operation on the IPsec of a tunnel."""
    shown = _head(409, NOT_MADE) | {
        "detail": "the tunnel conn1-tunnel1 is external: somebody else makes t1",
        "instance": "/v1/tunnels/conn1-tunnel1/restart",
    }
    return {409: _documented(409, "The service does not make the tunnel", shown)}


def documented_default() -> dict[int | str, dict[str, Any]]:
    """`responses=` of the whole application: any other status is a problem too."""
    return {"default": _documented(500, "Any other error: 405, 413, 415, 421, 429, 500")}


def _documented(status: int, description: str, shown: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": shown or example(status)}
    return {"description": description, "content": {PROBLEM_JSON: content}}


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
    slug: str | None = None,
    **extensions: Any,
) -> Response:
    """A problem response of the kind `slug` (default: that of the status).

    `extensions` become members of their own (RFC 9457 3.2).
    """
    body = _head(status, slug) | {"detail": detail, "instance": request.url.path} | extensions
    if errors:
        body["errors"] = [error.model_dump(exclude_none=True) for error in errors]
    return Response(
        orjson.dumps(body),
        status_code=status,
        headers={**SECURITY_HEADERS, **(headers or {})},
        media_type=PROBLEM_JSON,
    )


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""
    app.exception_handler(NotFound)(_not_found)
    app.exception_handler(InvalidQuery)(_invalid_query)
    app.exception_handler(PreconditionFailed)(_precondition_failed)
    app.exception_handler(NotStored)(_not_stored)
    app.exception_handler(StoreUnavailable)(_store_unavailable)
    app.exception_handler(InvalidDocument)(_invalid_document)
    app.exception_handler(BadBody)(_bad_body)
    app.exception_handler(BadPath)(_bad_path)
    app.exception_handler(AlreadyExists)(_already_exists)
    app.exception_handler(InUse)(_in_use)
    app.exception_handler(NotMade)(_not_made)
    app.exception_handler(TooManyDumps)(_too_many_dumps)
    app.exception_handler(ReadOnly)(_read_only)
    app.exception_handler(IdempotencyConflict)(_key_reused)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(ClientDisconnect)(_client_gone)
    # Starlette logs the traceback after this answer; nothing of it belongs into the response.
    app.exception_handler(Exception)(_internal_error)


async def _client_gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _not_found(request: Request, error: NotFound) -> Response:
    return problem(request, 404, str(error))


async def _precondition_failed(request: Request, error: PreconditionFailed) -> Response:
    return problem(request, 412, str(error) or "the resource has changed since it was read")


async def _not_stored(request: Request, error: NotStored) -> Response:
    return problem(request, 503, str(error), slug=NOT_STORED)


async def _store_unavailable(request: Request, error: StoreUnavailable) -> Response:
    return problem(request, 503, str(error) or "the store does not answer", slug=STORE_UNAVAILABLE)


async def _already_exists(request: Request, error: AlreadyExists) -> Response:
    return problem(request, 409, str(error), slug=ALREADY_EXISTS)


async def _in_use(request: Request, error: InUse) -> Response:
    return problem(request, 409, str(error), slug=IN_USE, users=list(error.users))


async def _not_made(request: Request, error: NotMade) -> Response:
    return problem(request, 409, str(error), slug=NOT_MADE)


async def _too_many_dumps(request: Request, error: TooManyDumps) -> Response:
    return problem(request, 429, str(error), headers={"Retry-After": "10"})


async def _read_only(request: Request, error: ReadOnly) -> Response:
    return problem(request, 409, str(error), slug=READ_ONLY)


async def _key_reused(request: Request, error: IdempotencyConflict) -> Response:
    detail = str(error) or "the Idempotency-Key was used before with another request"
    return problem(request, 422, detail, slug=IDEMPOTENCY_KEY_REUSED)


async def _invalid_document(request: Request, error: InvalidDocument) -> Response:
    mistakes = [
        FieldProblem.model_validate(
            {
                "in": "body",
                "pointer": "#" + mistake.pointer,
                "detail": mistake.message,
                "value": mistake.value,
                "allowed": mistake.allowed or None,
            }
        )
        for mistake in error.mistakes
    ]
    return problem(request, 422, _count(len(mistakes)), errors=mistakes)


async def _bad_body(request: Request, error: BadBody) -> Response:
    return problem(request, 422, _count(1), errors=[_field("body", "#", str(error))])


async def _bad_path(request: Request, error: BadPath) -> Response:
    return problem(request, 422, _count(1), errors=[_field("path", _pointer((error.field,)), str(error))])


async def _invalid_query(request: Request, error: InvalidQuery) -> Response:
    mistake = _field("query", _pointer((error.field,)), str(error))
    return problem(request, 422, _count(1), errors=[mistake])


async def _invalid_request(request: Request, error: RequestValidationError) -> Response:
    mistakes = [_mistake(entry) for entry in error.errors()]
    return problem(request, 422, _count(len(mistakes)), errors=mistakes)


async def _http_error(request: Request, error: HTTPException) -> Response:
    detail, headers = str(error.detail), error.headers
    if error.status_code == 404:
        detail = "there is no such path; /openapi.json lists all"
    elif error.status_code == 405:
        allowed = (headers or {}).get("Allow", "")
        detail = f"{request.method} is not allowed here" + (f", {allowed} is" if allowed else "")
    return problem(request, error.status_code, detail, headers=headers)


async def _internal_error(request: Request, _error: Exception) -> Response:
    return problem(request, 500, "the service made a mistake; its log has the details")


def _count(mistakes: int) -> str:
    return "the request has 1 mistake" if mistakes == 1 else f"the request has {mistakes} mistakes"


def _mistake(entry: Mapping[str, Any]) -> FieldProblem:
    """One entry of pydantic's error list, in our words."""
    where, *path = entry["loc"]
    if entry["type"] == "json_invalid":
        reason = entry.get("ctx", {}).get("error", "")
        return _field("body", "#", f"is not JSON: {reason} at character {path[0]}")
    return _field(where, _pointer(path), _detail(entry))


def _detail(entry: Mapping[str, Any]) -> str:
    kind, given = entry["type"], entry.get("input")
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known here"
    if kind == "model_attributes_type":
        return "must be a JSON object (with a JSON Content-Type)"
    message = str(entry["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    if kind == "value_error" or not isinstance(given, str | int | float | bool):
        return message
    return f"{message}, not {str(given)[:80]!r}" if isinstance(given, str) else f"{message}, not {given}"


def _field(where: str, pointer: str, detail: str) -> FieldProblem:
    return FieldProblem.model_validate({"in": where, "pointer": pointer, "detail": detail})


def _pointer(path: Sequence[str | int]) -> str:
    """JSON pointer as a URI fragment (RFC 6901 6)."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
