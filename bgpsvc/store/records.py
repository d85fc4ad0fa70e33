"""What the store keeps, as frozen values. Pure: the database code is in `store.database`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredResource:
    """One resource. `document` is its JSON form without secrets; `secrets` maps JSON pointers to them.

    `version` rises by one with every write of the resource, and makes its ETag. Times are Unix seconds.
    """

    kind: str
    name: str
    document: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    version: int
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry to be added to the audit log; secrets are masked already."""

    time: float
    actor: str
    source: str
    action: str
    kind: str | None = None
    name: str | None = None
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a request with an Idempotency-Key came to. Keys belong to their actor."""

    actor: str
    key: str
    fingerprint: str
    outcome: Mapping[str, Any]
    time: float


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written together or not at all."""

    puts: tuple[StoredResource, ...] = ()
    removals: tuple[tuple[str, str], ...] = ()
    """(kind, name)"""
    audit: tuple[AuditEntry, ...] = ()
    forget: tuple[tuple[str, str], ...] = ()
    """Operators' choices that end with it: (kind, name), whether there are such or not."""
    remember: Remembered | None = None


@dataclass(frozen=True, slots=True)
class StoredToken:
    """An API token. `digest` is SHA-256 of its secret (256 random bits). `scope` as in control.Scope."""

    id: str
    name: str
    scope: str
    digest: bytes = field(repr=False)
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None


DAY = 86400.0
REMEMBERED_FOR = DAY
"""How long the outcome of a request with an Idempotency-Key is kept, in seconds."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept: numbers of entries, and ages in seconds. The newest event always stays."""

    events: int = 100_000
    events_age: float = 30 * DAY
    audit: int = 100_000
    audit_age: float = 400 * DAY
    refusals: int = 10_000
    """Entries `authentication.failed`, which strangers can cause: so they cannot push out the others."""
    remembered: int = 100_000


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many entries retention took away."""

    events: int = 0
    audit: int = 0
    remembered: int = 0
