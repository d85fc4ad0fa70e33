"""Between the store's rows and the resources that they are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bgpsvc.catalog import Catalog, Record
from bgpsvc.control import InvalidDocument
from bgpsvc.resources.changes import intent_of
from bgpsvc.resources.kinds import KIND_OF
from bgpsvc.resources.plain import parse, plain, secrets_of
from bgpsvc.store.records import StoredResource


def stored(record: Record) -> StoredResource:
    """The row of a record: the document without its secrets, and these beside it."""
    return StoredResource(
        kind=record.kind.key,
        name=record.name,
        document=plain(record.resource, lambda pointer, secret: None),
        secrets=secrets_of(record.resource),
        version=record.version,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def catalog_of(rows: Iterable[StoredResource]) -> Catalog:
    """The catalog of what a store holds. InvalidDocument if this version does not take it."""
    records = [_record(row) for row in rows]
    return Catalog(intent_of((record.kind, record.resource) for record in records), records)


def _record(row: StoredResource) -> Record:
    kind = KIND_OF[row.kind]
    try:
        resource = parse(kind, _with_secrets(row.document, row.secrets))
    except InvalidDocument as error:
        place = f"/{row.kind}/{row.name}"
        mistakes = [replace(mistake, pointer=place + mistake.pointer) for mistake in error.mistakes]
        raise InvalidDocument(mistakes) from None
    return Record(kind, resource, row.version, row.created_at, row.updated_at)


def _with_secrets(document: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = _copy(document)
    for pointer, secret in found.items():
        *steps, last = pointer.removeprefix("/").split("/")
        place: Any = made
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = secret
    return made


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value
