"""All resources as one document: read it, apply one, delete what one names."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from api import documents
from api.access import BULK, ActorDep, ScopedRoute, needs
from api.bodies import JSON, body_of, read_document
from api.deps import NO_QUERY, ControlDep, quote_etag
from api.problems import documented, documented_write
from api.render import Json
from api.schemas_control import Planned
from api.writes import (
    HEADERS,
    REPLAY_HEADER,
    ApplyParameters,
    IdempotencyKey,
    IfMatch,
    WriteParameters,
    answer_planned,
    expected_etag,
    options,
)
from bgpsvc.control import Scope

router = APIRouter(prefix="/v1/configuration", tags=["Configuration"], route_class=ScopedRoute)
SCHEMA: dict[str, Any] = {"schema": {"$ref": documents.REF + documents.CONFIGURATION_NAME}}
BODY = body_of(documents.CONFIGURATION_NAME)
ANSWER: dict[int | str, dict[str, Any]] = {200: {"headers": REPLAY_HEADER}}


@router.get(
    "",
    operation_id="getConfiguration",
    summary="Show the whole configuration",
    responses={200: {"headers": HEADERS, "content": {JSON: SCHEMA}}, **documented(401, 403, 422)},
    openapi_extra=needs(Scope.READ),
    dependencies=[NO_QUERY],
)
async def get_configuration(control: ControlDep) -> Json:
    """All resources in the form of the configuration file, secrets masked. The ETag changes with every write
    of any resource."""
    return Json(control.configuration(), headers={"ETag": quote_etag(control.configuration_etag())})


@router.post(
    "/apply",
    operation_id="applyConfiguration",
    summary="Apply a configuration",
    response_model=Planned,
    responses={**ANSWER, **documented_write(401, 403, 409, 412, 415, 422)},
    openapi_extra=needs(Scope.ADMIN, body=BULK, **BODY),
)
async def apply_configuration(
    request: Request,
    control: ControlDep,
    actor: ActorDep,
    query: ApplyParameters,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> Json:
    """Creates and updates all resources of the document in one transaction: all or none. The same again
    changes nothing."""
    document = await read_document(request)
    how = await options(request, query.dry_run, key, expected_etag(if_match, control.configuration_etag))
    return answer_planned(await control.apply(document, query.prune, how, actor))


@router.post(
    "/delete",
    operation_id="deleteConfiguration",
    summary="Delete the resources that a configuration names",
    response_model=Planned,
    responses={**ANSWER, **documented_write(401, 403, 409, 412, 415, 422)},
    openapi_extra=needs(Scope.ADMIN, body=BULK, **BODY),
)
async def delete_configuration(
    request: Request,
    control: ControlDep,
    actor: ActorDep,
    query: WriteParameters,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> Json:
    """Deletes all resources that the document names, in one transaction; only their names matter, and what
    is not there is left out."""
    document = await read_document(request)
    how = await options(request, query.dry_run, key, expected_etag(if_match, control.configuration_etag))
    return answer_planned(await control.remove(document, how, actor))
