"""Documents of several resources, and what the store keeps of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bgpsvc.catalog import Catalog, Record
from bgpsvc.control import Document, InvalidDocument, Mistake
from bgpsvc.resources.changes import intent_of
from bgpsvc.resources.kinds import KIND_OF, KINDS, Kind
from bgpsvc.resources.plain import parse, plain, secrets_of
from bgpsvc.store.records import StoredResource


def items_of(document: Document) -> Iterable[tuple[Kind, Mapping[str, Any], int]]:
    """The resources of a document in the form of a configuration file, in the order of kinds."""
    mistakes = [
        Mistake(f"/{key}", None, "is not a kind of resources", " | ".join(KIND_OF))
        for key in document
        if key not in KIND_OF
    ]
    found: list[tuple[Kind, Mapping[str, Any], int]] = []
    for kind in KINDS:
        items = document.get(kind.key, [])
        if not isinstance(items, list | tuple):
            mistakes.append(Mistake(f"/{kind.key}", None, "is not a list", "a list of resources"))
            continue
        for index, item in enumerate(items):
            if isinstance(item, Mapping):
                found.append((kind, item, index))
            else:
                mistakes.append(Mistake(f"/{kind.key}/{index}", None, "is not an object", "a resource"))
    if mistakes:
        raise InvalidDocument(mistakes)
    return found


def stored(record: Record) -> StoredResource:
    """What is stored of a record."""
    return StoredResource(
        kind=record.kind.key,
        name=record.name,
        document=plain(record.resource, lambda pointer, secret: None),
        secrets=secrets_of(record.resource),
        version=record.version,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def catalog_of(stored: Iterable[StoredResource]) -> Catalog:
    """The catalog of what a store holds. InvalidDocument if this version does not take it."""
    records = []
    for item in stored:
        kind = KIND_OF[item.kind]
        document = _with_secrets(item.document, item.secrets)
        try:
            resource = parse(kind, document)
        except InvalidDocument as error:
            place = f"/{item.kind}/{item.name}"
            raise InvalidDocument(
                [replace(mistake, pointer=place + mistake.pointer) for mistake in error.mistakes]
            ) from None
        records.append(Record(kind, resource, item.version, item.created_at, item.updated_at))
    return Catalog(intent_of((record.kind, record.resource) for record in records), records)


def _with_secrets(document: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """A document with its secrets put where their pointers say."""
    made = _copy(document)
    for pointer, secret in found.items():
        *steps, last = pointer.removeprefix("/").split("/")
        place: Any = made
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = secret
    assert isinstance(made, dict)
    return made


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value
