"""What every resource shows, plans of writes, tokens, the audit log.

`config` is the document; its schema is put into the OpenAPI document by `api.openapi`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, WithJsonSchema, field_validator

from api import examples_documents as examples
from api.deps import MAX_ID, PageQuery
from bgpsvc.control import ResourceStatus, Scope

Json = dict[str, Any]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


def shown(*given: Json, extra: Literal["ignore", "forbid"] = "ignore") -> Any:
    """Model configuration of a schema with examples."""
    return {"json_schema_extra": {"examples": list(given)}, "extra": extra}


class Resource(BaseModel):
    """What every resource has."""

    name: str = Field(description="Its name.")
    config: Json = Field(description="The document with defaults filled in, secrets masked.")
    status: ResourceStatus = Field(
        description="`provisioning`, `updating`, `deleting`: on its way into kernel and speakers; "
        "`active`: there."
    )
    status_reason: str | None = Field(
        description="What is waited for, or why it is stuck; null if it is active."
    )
    created_at: Time = Field(description="When it was made (RFC 3339, UTC).")
    updated_at: Time = Field(description="When it was last changed (RFC 3339, UTC).")
    warnings: list[str] = Field(description="What is legal in it and worth a look.")
    etag: str = Field(description="Its version; the ETag header has it in quotes.")


class FieldChange(BaseModel):
    """One changed field; null stands for absent, secrets are masked."""

    model_config = shown(examples.FIELD_CHANGE)

    pointer: str = Field(description="JSON pointer into the document.")
    old: Any = Field(description="Value before.")
    new: Any = Field(description="Value after.")


class PlannedResource(BaseModel):
    """What happens to one resource."""

    model_config = shown(examples.PLANNED_RESOURCE)

    action: Literal["create", "update", "delete"] = Field(description="What is done.")
    kind: str = Field(description="Kind, as its list is called in a configuration file.")
    name: str = Field(description="Name of the resource.")
    fields: list[FieldChange] = Field(description="What changes in it.")


class PlannedEffect(BaseModel):
    """What happens to a tunnel, to a session, to the kernel, or to what a peer hears."""

    model_config = shown(examples.PLANNED_EFFECT)

    action: Literal["add", "remove", "reset", "update", "move", "announce", "withdraw", "change"] = Field(
        description="Tunnels and sessions: add, remove, reset (goes down and comes back), update (stays up); "
        "kernel: add, remove, move; peers: announce, withdraw, change."
    )
    subject: str = Field(description="The tunnel, session, rule, table or prefixes.")
    detail: str = Field(description="What exactly.")
    count: int = Field(description="How many prefixes or rules this stands for.")


class Plan(BaseModel):
    """What a write does, or would do; all empty: nothing."""

    model_config = shown(examples.PLAN)

    resources: list[PlannedResource] = Field(description="Resources that change.")
    tunnels: list[PlannedEffect] = Field(description="Tunnels of the service's own that it touches.")
    sessions: list[PlannedEffect] = Field(description="BGP sessions that it touches.")
    kernel: list[PlannedEffect] = Field(description="Routes and rules that change.")
    peers: list[PlannedEffect] = Field(description="What peers hear of it.")
    warnings: list[str] = Field(description="What is legal in it and worth a look.")


class Planned(BaseModel):
    """Outcome of a dry run, of a write to several resources, or of a deletion that is done already."""

    model_config = shown(examples.PLANNED)

    dry_run: bool = Field(description="True: nothing was changed.")
    plan: Plan = Field(description="What was done, or would be.")


class Secrets(BaseModel):
    """Secrets of a resource in clear."""

    model_config = shown(examples.SECRETS)

    secrets: dict[str, str] = Field(description="Secret by JSON pointer into the document.")


class Rotated(BaseModel):
    """Secrets are encrypted with another key now."""

    model_config = shown(examples.ROTATED)

    rotated: int = Field(description="How many secrets were encrypted anew, or would be.")
    dry_run: bool = Field(description="True: nothing was changed.")


class Token(BaseModel):
    """An API token, without its secret."""

    model_config = shown(examples.TOKEN)

    id: str = Field(description="Id of the token: the part of it before the dot.")
    name: str = Field(description="What it was called when it was made.")
    scope: Scope = Field(description="What it may do; `operate` includes `read`, `admin` both.")
    created_at: Time = Field(description="When it was made (RFC 3339, UTC).")
    expires_at: Time | None = Field(description="When it ends (RFC 3339, UTC); null: never.")
    last_used_at: Time | None = Field(
        description="When it was last used, to the minute or so; null if never."
    )
    revoked_at: Time | None = Field(description="When it was revoked; null if it was not.")


class TokenList(BaseModel):
    """A page of tokens, by id."""

    model_config = shown({"items": [examples.TOKEN], "next_cursor": None})

    items: list[Token] = Field(description="The items of this page.")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class NewToken(Token):
    """An API token that was just made."""

    model_config = shown(examples.NEW_TOKEN)

    token: str = Field(description="The token itself, `bgpsvc_<id>.<secret>`. It is not shown again.")


class TokenRequest(BaseModel):
    """A token to be made."""

    model_config = shown(examples.TOKEN_REQUEST, extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[!-~]([ -~]*[!-~])?$")] = (
        Field(description="What it is for: 1 to 64 printable ASCII characters.")
    )
    scope: Scope = Field(description="What it may do; `operate` includes `read`, `admin` both.")
    expires_at: AwareDatetime | None = Field(
        default=None, description="When it ends (RFC 3339 with an offset), in the future; null: never."
    )


class AuditEntry(BaseModel):
    """Who changed what, from where, and how it was before."""

    model_config = shown(examples.AUDIT)

    id: int = Field(description="Rises with every entry.")
    time: Time = Field(description="When it happened (RFC 3339, UTC).")
    actor: str = Field(description="`token <id> (<name>)`, `unix socket`, `anonymous`, `system`.")
    source: str = Field(description="Address that the request came from, or the socket.")
    action: str = Field(
        description="`create`, `update`, `delete`, `switch`, `propagate`, `reveal`, `token.create`, "
        "`token.revoke`, `key.rotate`, `authentication.failed`."
    )
    kind: str | None = Field(description="Kind of the resource; null if it is about none.")
    name: str | None = Field(description="Name of the resource; null if it is about none.")
    old: Json | None = Field(description="How it was; null if it was not there. Secrets are masked.")
    new: Json | None = Field(description="How it is now, or details; null if it is gone.")


class AuditList(BaseModel):
    """A page of the audit log, newest first."""

    model_config = shown({"items": [examples.AUDIT], "next_cursor": None})

    items: list[AuditEntry] = Field(description="The entries of this page.")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class AuditQuery(PageQuery):
    """Filters of the audit log; they combine with AND."""

    cursor: str | None = Field(
        default=None,
        max_length=19,
        pattern=r"^[0-9]{1,19}$",
        description="`next_cursor` of the page before; here it is an id.",
    )

    @field_validator("cursor")
    @classmethod
    def _cursor_is_an_id(cls, cursor: str | None) -> str | None:
        if cursor is not None and int(cursor) > MAX_ID:
            raise ValueError("is not a cursor of this list")
        return cursor

    kind: str | None = Field(
        default=None, max_length=64, description="Kind of resources.", examples=["vpn_gateways"]
    )
    name: str | None = Field(default=None, max_length=256, description="Name.", examples=["gw1"])
    actor: str | None = Field(
        default=None, max_length=256, description="Who did it, as entries show it.", examples=["unix socket"]
    )
