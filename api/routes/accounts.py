"""API tokens, the audit log, and the key that encrypts secrets."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError

from api.access import ActorDep, ScopedRoute, needs
from api.bodies import body_of, read_model
from api.deps import NO_QUERY, ControlDep, PageDep, decode_cursor, encode_cursor
from api.problems import documented_write
from api.render import Json, plain, rfc3339
from api.schemas_control import (
    AuditList,
    AuditQuery,
    NewToken,
    Planned,
    Rotated,
    Token,
    TokenList,
    TokenRequest,
)
from api.writes import LOCATION, WriteParameters
from bgpsvc.control import Actor, FieldChange, Plan, PlannedResource, Scope, TokenView

tokens = APIRouter(prefix="/v1/tokens", tags=["Tokens"], route_class=ScopedRoute)
audit = APIRouter(prefix="/v1/audit", tags=["Audit"], route_class=ScopedRoute)
secrets = APIRouter(prefix="/v1/secrets", tags=["Secrets"], route_class=ScopedRoute)

TOKENS = "tokens"
TokenId = Annotated[str, Path(description="Id of the token.", examples=["4f7c2a"], max_length=256)]


@tokens.get(
    "",
    operation_id="listTokens",
    summary="List API tokens",
    response_model=TokenList,
    responses=documented_write(401, 403, 422),
    openapi_extra=needs(Scope.ADMIN),
)
async def list_tokens(control: ControlDep, page: PageDep) -> Json:
    """All tokens by id, expired and revoked ones too, without their secrets."""
    after = None if page.cursor is None else decode_cursor(page.cursor)
    found = await control.tokens(after, page.limit)
    last = None if found.next_after is None else encode_cursor(found.next_after)
    return Json({"items": plain(found.items), "next_cursor": last})


@tokens.post(
    "",
    operation_id="createToken",
    summary="Make an API token",
    status_code=201,
    response_model=NewToken,
    responses={
        **documented_write(401, 403, 415, 422),
        200: {"model": Planned, "description": "Dry run"},
        201: {"headers": LOCATION},
    },
    openapi_extra=needs(Scope.ADMIN, **body_of("TokenRequest")),
)
async def create_token(
    request: Request, control: ControlDep, actor: ActorDep, query: WriteParameters
) -> Json:
    """The answer has the token itself, which is not shown again: only its hash is kept."""
    wish = await read_model(request, TokenRequest)
    expires_at = None if wish.expires_at is None else wish.expires_at.timestamp()
    if expires_at is not None and expires_at <= time.time():
        where = ("body", "expires_at")
        raise RequestValidationError([{"type": "value_error", "loc": where, "msg": "must be in the future"}])
    if query.dry_run:
        return _planned(_making(wish, expires_at))
    made = await control.create_token(wish.name, wish.scope, expires_at, actor)
    body: dict[str, Any] = {**plain(made.view), "token": made.text}
    return Json(body, 201, {"Location": f"/v1/tokens/{made.view.id}"})


@tokens.get(
    "/{id}",
    operation_id="getToken",
    summary="Show an API token",
    response_model=Token,
    responses=documented_write(401, 403, 404, 422),
    openapi_extra=needs(Scope.ADMIN),
    dependencies=[NO_QUERY],
)
async def get_token(control: ControlDep, id: TokenId) -> Json:
    """One token, without its secret."""
    return Json(plain(await control.token(id)))


@tokens.delete(
    "/{id}",
    operation_id="revokeToken",
    summary="Revoke an API token",
    response_model=Token | Planned,
    responses=documented_write(401, 403, 404, 422),
    openapi_extra=needs(Scope.ADMIN),
)
async def revoke_token(control: ControlDep, actor: ActorDep, id: TokenId, query: WriteParameters) -> Json:
    """Ends it at once; event streams that it opened end within seconds. It stays in the list, with the time.
    The same again changes nothing."""
    if query.dry_run:
        return _planned(_revoking(await control.token(id), actor))
    return Json(plain(await control.revoke_token(id, actor)))


def _planned(plan: Plan) -> Json:
    return Json({"dry_run": True, "plan": plain(plan)})


def _making(wish: TokenRequest, expires_at: float | None) -> Plan:
    fields = [FieldChange("/scope", None, wish.scope.value)]
    warnings = []
    if expires_at is None:
        warnings.append("it never expires: who finds it may use it until somebody revokes it")
    else:
        fields.append(FieldChange("/expires_at", None, rfc3339(expires_at)))
    if wish.scope is Scope.ADMIN:
        warnings.append("the scope admin may change everything, make tokens and see secrets")
    made = PlannedResource("create", TOKENS, wish.name, tuple(fields))
    return Plan(resources=(made,), warnings=tuple(warnings))


def _revoking(token: TokenView, actor: Actor) -> Plan:
    if token.revoked_at is not None:
        return Plan()
    change = FieldChange("/revoked_at", None, rfc3339(time.time()))
    own = token.id == actor.token
    return Plan(
        resources=(PlannedResource("update", TOKENS, token.id, (change,)),),
        warnings=("this is the token of this request: nothing more can be asked with it",) if own else (),
    )


@audit.get(
    "",
    operation_id="listAuditEntries",
    summary="List the audit log",
    response_model=AuditList,
    responses=documented_write(401, 403, 422),
    openapi_extra=needs(Scope.ADMIN),
)
async def list_audit_entries(control: ControlDep, query: Annotated[AuditQuery, Query()]) -> Json:
    """Who changed what, from where, old and new value: newest first."""
    before = None if query.cursor is None else int(query.cursor)
    found = await control.audit(before, query.limit + 1, query.kind, query.name, query.actor)
    page = found[: query.limit]
    last = str(page[-1].id) if len(found) > len(page) else None
    return Json({"items": plain(page), "next_cursor": last})


@secrets.post(
    "/rotate-key",
    operation_id="rotateSecretsKey",
    summary="Encrypt all secrets with a new key",
    response_model=Rotated,
    responses=documented_write(401, 403, 422),
    openapi_extra=needs(Scope.ADMIN),
)
async def rotate_secrets_key(control: ControlDep, actor: ActorDep, query: WriteParameters) -> Json:
    """Makes a new key for secrets at rest and encrypts pre-shared keys and BGP passwords anew."""
    count = control.secret_count() if query.dry_run else await control.rotate_key(actor)
    return Json({"rotated": count, "dry_run": query.dry_run})
