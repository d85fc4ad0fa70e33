"""Create, read, update and delete: the same operations for every kind of resources.

Documents are judged by the service (`control.InvalidDocument` names every mistake), not by models here.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from api import documents
from api.access import DOCUMENT, ActorDep, ScopedRoute, forbidden, needs
from api.bodies import JSON, MERGE_PATCH, body_of, read_document
from api.deps import NO_QUERY, ControlDep, PageDep, ServiceDep, decode_cursor, encode_cursor
from api.problems import documented, documented_write
from api.propagation import patch_read_only
from api.render import Json
from api.schemas_control import Planned, Secrets
from api.shapes import SHAPES, Shape
from api.writes import (
    HEADERS,
    LOCATION,
    REPLAY_HEADER,
    IdempotencyKey,
    IfMatch,
    WriteParameters,
    answer_resource,
    answer_written,
    expected_etag,
    options,
)
from bgpsvc.control import Actor, Scope

Name = Annotated[str, Path(description="Name of the resource.", max_length=256)]
OPERATORS_FIELDS = {"auto_propagate"}
"""What of a VPN gateway an operator may change without being an administrator."""


@functools.cache
def routers() -> tuple[APIRouter, ...]:
    """A router for each kind."""
    return tuple(_router(shape) for shape in SHAPES)


def _router(shape: Shape) -> APIRouter:
    router = APIRouter(prefix=shape.path, tags=[shape.tag], route_class=ScopedRoute)
    _add_list(router, shape)
    _add_create(router, shape)
    _add_show(router, shape)
    _add_replace(router, shape)
    _add_patch(router, shape)
    _add_delete(router, shape)
    if shape.secrets:
        _add_reveal(router, shape)
    return router


def _plural(shape: Shape) -> str:
    return (
        shape.noun[:-1] + "ies"
        if shape.noun.endswith("y") and shape.noun[-2] not in "aeiou"
        else shape.noun + "s"
    )


def _responses(shape: Shape, *statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"model": shape.written | Planned, "headers": REPLAY_HEADER},
        **documented_write(401, 403, *statuses, 422),
    }


def _add_list(router: APIRouter, shape: Shape) -> None:
    @router.get(
        "",
        operation_id=f"list{_plural(shape)}",
        summary=f"List {shape.tag}",
        response_model=shape.listing,
        responses=documented(401, 403, 422),
        openapi_extra=needs(Scope.READ),
        description=f"All {shape.tag} by name.",
    )
    async def list_resources(service: ServiceDep, control: ControlDep, page: PageDep) -> Json:
        after = None if page.cursor is None else decode_cursor(page.cursor)
        found = control.resources(shape.kind.key, after, page.limit)
        last = None if found.next_after is None else encode_cursor(found.next_after)
        return Json({"items": [shape.show(service, control, v) for v in found.items], "next_cursor": last})


def _add_create(router: APIRouter, shape: Shape) -> None:
    @router.post(
        "",
        operation_id=f"create{shape.noun}",
        summary=f"Make a {shape.kind.label}",
        status_code=201,
        response_model=shape.written,
        responses={
            **documented_write(401, 403, 409, 415, 422),
            200: {"model": Planned, "description": "Dry run"},
            201: {"headers": {**HEADERS, **LOCATION, **REPLAY_HEADER}},
        },
        openapi_extra=needs(Scope.ADMIN, body=DOCUMENT, **body_of(documents.document_name(shape.kind))),
        description="The body is the document as `config` shows it. What it leaves out gets its default"
        + ("; a pre-shared key is made if none is given." if shape.secrets else "."),
    )
    async def create_resource(
        request: Request,
        service: ServiceDep,
        control: ControlDep,
        actor: ActorDep,
        query: WriteParameters,
        key: IdempotencyKey = None,
    ) -> Json:
        document = await read_document(request)
        how = await options(request, query.dry_run, key)
        written = await control.create(shape.kind.key, document, how, actor)
        location = "" if written.resource is None else f"{shape.path}/{written.resource.name}"
        return answer_written(service, control, shape, written, 201, {"Location": location})


def _add_show(router: APIRouter, shape: Shape) -> None:
    @router.get(
        "/{name}",
        operation_id=f"get{shape.noun}",
        summary=f"Show a {shape.kind.label}",
        response_model=shape.schema,
        responses={200: {"headers": HEADERS}, **documented(401, 403, 404, 422)},
        openapi_extra=needs(Scope.READ),
        dependencies=[NO_QUERY],
        description=f"One {shape.kind.label}, with its ETag.",
    )
    async def get_resource(service: ServiceDep, control: ControlDep, name: Name) -> Json:
        return answer_resource(service, control, shape, control.resource(shape.kind.key, name))


def _add_replace(router: APIRouter, shape: Shape) -> None:
    @router.put(
        "/{name}",
        operation_id=f"replace{shape.noun}",
        summary=f"Replace a {shape.kind.label}",
        responses=_responses(shape, 404, 409, 412, 415),
        openapi_extra=needs(Scope.ADMIN, body=DOCUMENT, **body_of(documents.document_name(shape.kind))),
        description="The document becomes the resource; what it leaves out gets its default"
        + (
            "; a pre-shared key that it leaves out stays, as does a secret that is the mask."
            if shape.secrets
            else "."
        ),
    )
    async def replace_resource(
        request: Request,
        service: ServiceDep,
        control: ControlDep,
        actor: ActorDep,
        name: Name,
        query: WriteParameters,
        if_match: IfMatch = None,
        key: IdempotencyKey = None,
    ) -> Json:
        document = await read_document(request)
        etag = expected_etag(if_match, lambda: control.resource(shape.kind.key, name).etag)
        how = await options(request, query.dry_run, key, etag)
        written = await control.replace(shape.kind.key, name, document, how, actor)
        return answer_written(service, control, shape, written, 200)


def _add_patch(router: APIRouter, shape: Shape) -> None:
    gateway = shape.kind.key == "vpn_gateways"

    @router.patch(
        "/{name}",
        operation_id=f"update{shape.noun}",
        summary=f"Change a {shape.kind.label}",
        responses=_responses(shape, 404, 409, 412, 415),
        openapi_extra=needs(
            Scope.OPERATE if gateway else Scope.ADMIN,
            body=DOCUMENT,
            **body_of(documents.patch_name(shape.kind), MERGE_PATCH, JSON),
        ),
        description="A merge patch (RFC 7396) of the document."
        + (
            " The scope operate is enough to change `auto_propagate` alone, which is also possible where "
            "the other resources come from a file; all else needs admin."
            if gateway
            else ""
        ),
    )
    async def update_resource(
        request: Request,
        service: ServiceDep,
        control: ControlDep,
        actor: ActorDep,
        name: Name,
        query: WriteParameters,
        if_match: IfMatch = None,
        key: IdempotencyKey = None,
    ) -> Json:
        patch = await read_document(request, MERGE_PATCH, JSON)
        _check_scope(actor, gateway and patch.keys() <= OPERATORS_FIELDS)
        if gateway and control.read_only is not None:
            written = await patch_read_only(service, control, name, patch, if_match, query.dry_run, actor)
        else:
            etag = expected_etag(if_match, lambda: control.resource(shape.kind.key, name).etag)
            how = await options(request, query.dry_run, key, etag)
            written = await control.patch(shape.kind.key, name, patch, how, actor)
        return answer_written(service, control, shape, written, 200)


def _check_scope(actor: Actor, operators_change: bool) -> None:
    if not operators_change and not actor.scope.includes(Scope.ADMIN):
        raise forbidden(actor, Scope.ADMIN)


def _add_delete(router: APIRouter, shape: Shape) -> None:
    @router.delete(
        "/{name}",
        operation_id=f"delete{shape.noun}",
        summary=f"Delete a {shape.kind.label}",
        status_code=202,
        response_model=shape.written,
        responses={
            **documented_write(401, 403, 404, 409, 412, 422),
            200: {"model": Planned, "description": "Dry run, or gone already", "headers": REPLAY_HEADER},
            202: {"headers": {**HEADERS, **REPLAY_HEADER}},
        },
        openapi_extra=needs(Scope.ADMIN),
        description="Refused while something refers to it (409, `users` says what). Its routes and sessions "
        "are taken down behind the answer; until then it is shown with the status `deleting`.",
    )
    async def delete_resource(
        request: Request,
        service: ServiceDep,
        control: ControlDep,
        actor: ActorDep,
        name: Name,
        query: WriteParameters,
        if_match: IfMatch = None,
        key: IdempotencyKey = None,
    ) -> Json:
        etag = expected_etag(if_match, lambda: control.resource(shape.kind.key, name).etag)
        how = await options(request, query.dry_run, key, etag)
        written = await control.delete(shape.kind.key, name, how, actor)
        return answer_written(service, control, shape, written, 202)


def _add_reveal(router: APIRouter, shape: Shape) -> None:
    @router.post(
        "/{name}/reveal",
        operation_id=f"reveal{shape.noun}",
        summary=f"Show the secrets of a {shape.kind.label}",
        response_model=Secrets,
        responses=documented_write(401, 403, 404, 422),
        openapi_extra=needs(Scope.ADMIN),
        dependencies=[NO_QUERY],
        description="Pre-shared keys and BGP passwords in clear, by JSON pointer into the document. Who "
        "asked is in the audit log before the answer is given.",
    )
    async def reveal_resource(control: ControlDep, actor: ActorDep, name: Name) -> Json:
        return Json({"secrets": await control.reveal(shape.kind.key, name, actor)})
