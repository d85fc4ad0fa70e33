"""Reading the JSON documents of requests, as strictly as the configuration file is read.

The models of FastAPI are not asked: the service judges documents itself and names every mistake.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from api.problems import BadBody

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
MAX_DEPTH = 32
"""Levels of nesting; no document needs half of it."""


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_media_type(request: Request, *allowed: str) -> None:
    """415 for a body of another type. A web page can send some types to any address without asking; JSON
    is not among them."""
    given = _media_type(request)
    if given not in allowed:
        header = {"Accept-Patch": ", ".join(allowed)} if request.method == "PATCH" else {"Accept": JSON}
        raise HTTPException(
            415, f"the body must be {' or '.join(allowed)}, not {given or 'without Content-Type'}", header
        )


async def read_document(request: Request, *allowed: str) -> dict[str, Any]:
    """The body as a JSON object: BadBody (a 422) if it is none, 415 if its type is not `allowed`
    (application/json)."""
    require_media_type(request, *(allowed or (JSON,)))
    body = await request.body()
    if not body.strip():
        raise BadBody("is missing")
    try:
        # orjson refuses what is no Unicode and what is no JSON number, json knows of repeated keys.
        orjson.loads(body)
        document = json.loads(body, object_pairs_hook=_without_repetition)
    except (orjson.JSONDecodeError, json.JSONDecodeError) as error:
        raise BadBody(f"is not JSON: {error.msg} at character {error.pos}") from None
    except (_Repeated, ValueError) as error:
        raise BadBody(f"cannot be read: {error}") from None
    except RecursionError:
        raise BadBody(f"is nested more than {MAX_DEPTH} levels deep") from None
    if not isinstance(document, dict):
        raise BadBody("must be a JSON object")
    _check_depth(document)
    return document


class _Repeated(Exception):
    """A key stands twice in one object."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _Repeated(f"the key {twice[:80]!r} is given twice")
    return made


def _check_depth(document: dict[str, Any]) -> None:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise BadBody(f"is nested more than {MAX_DEPTH} levels deep")


async def fingerprint(request: Request) -> str:
    """Tells one request from another that uses the same Idempotency-Key."""
    digest = hashlib.sha256()
    for part in (request.method, request.url.path, str(request.query_params)):
        digest.update(part.encode(errors="surrogateescape") + b"\n")
    digest.update(await request.body())
    return digest.hexdigest()


async def read_model(request: Request, model: type[M]) -> M:
    """The body of an operation that takes no resource; RequestValidationError with every mistake."""
    document = await read_document(request)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        mistakes = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()]
        raise RequestValidationError(mistakes) from None


async def read_optional(request: Request, model: type[M]) -> M:
    """The same of an operation that needs no body: without one all is as the model has it by default."""
    return await read_model(request, model) if await request.body() else model()


def body_of(name: str, *media: str, required: bool = True) -> dict[str, Any]:
    """`requestBody` of an operation, by the name of its schema."""
    content = {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}} for kind in media or (JSON,)}
    return {"requestBody": {"required": required, "content": content}}
