"""The resources as they are stored, with what has become of them: views in keyset pages. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2s
from typing import Any

from bgpsvc.control import Listing, ResourceStatus, ResourceView
from bgpsvc.effects import Log
from bgpsvc.port import NotFound
from bgpsvc.resources import Intent
from bgpsvc.resources.advice import warnings
from bgpsvc.resources.draft import Path
from bgpsvc.resources.kinds import KIND_OF, KINDS, Kind
from bgpsvc.resources.models import Resource
from bgpsvc.resources.plain import name_of, plain
from bgpsvc.resources.problems import path_text

ON_ITS_WAY = "on its way into kernel and BGP speakers"
_NAMED = 5
"""Resources that an event names; of more it says how many."""


@dataclass(slots=True)
class Record:
    """One resource with its version. `change` is the change (see `settling`) that made it what it is.

    `fresh` is True until its first change is done; times are Unix seconds.
    """

    kind: Kind
    resource: Resource
    version: int
    created_at: float
    updated_at: float
    change: int = 0
    fresh: bool = False
    _document: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The resource's name."""
        return name_of(self.resource)

    @property
    def document(self) -> Mapping[str, Any]:
        """The masked document; made once."""
        if self._document is None:
            self._document = plain(self.resource)
        return self._document

    @property
    def etag(self) -> str:
        """Differs for every version of every resource that had this name."""
        return f"{self.version}-{round(self.created_at * 1000):x}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far changes have come: the last one that is done, and why the next is stuck (None: it is not)."""

    done: int
    problem: str | None = None


class Catalog:
    """All resources by kind and name, and the intent that they are together."""

    def __init__(self, intent: Intent, records: Iterable[Record]) -> None:
        self._records: dict[str, dict[str, Record]] = {kind.key: {} for kind in KINDS}
        for record in records:
            self._records[record.kind.key][record.name] = record
        self._names = {key: sorted(found) for key, found in self._records.items()}
        self._deleting: dict[tuple[str, str], tuple[Record, int]] = {}
        self._advised = _Advice(intent)
        self._forgotten: int | None = None
        """The change up to which `_deleting` was looked through; None: it has to be."""
        self._etag = ""
        self._mix("start", self.all())

    @property
    def etag(self) -> str:
        """Differs after every write of any resource, over restarts too: it's made of all that was written."""
        return self._etag

    @property
    def intent(self) -> Intent:
        """What the resources are together."""
        return self._advised.intent

    def get(self, kind: str, name: str) -> Record | None:
        """The record of a resource that is there."""
        return self._records[kind].get(name)

    def record(self, kind: str, name: str) -> Record:
        """The same; NotFound if there is none."""
        found = self.get(kind, name)
        if found is None:
            raise NotFound(KIND_OF[kind].label, name, tuple(self._names[kind][:20]))
        return found

    def take(self, intent: Intent, puts: Iterable[Record], removals: Iterable[Record], change: int) -> None:
        """The outcome of a write: another intent, records that are new or changed, records that are gone."""
        made, gone = tuple(puts), tuple(removals)
        for record in gone:
            del self._records[record.kind.key][record.name]
            self._names[record.kind.key].remove(record.name)
            self._deleting[record.kind.key, record.name] = (record, change)
        for record in made:
            if record.name not in self._records[record.kind.key]:
                insort(self._names[record.kind.key], record.name)
            self._records[record.kind.key][record.name] = record
            self._deleting.pop((record.kind.key, record.name), None)
        self._advised = _Advice(intent)
        self._forgotten = None
        if gone:
            self._mix("removed", gone)
        if made:
            self._mix("put", made)

    def view(self, kind: str, name: str, progress: Progress) -> ResourceView:
        """One resource; one that is being deleted is shown until that is done. NotFound if there is none."""
        self._forget_deleted(progress)
        deleting = self._deleting.get((kind, name))
        if deleting is not None:
            reason = progress.problem or "its routes and sessions are being taken down"
            return self._view(deleting[0], "deleting", reason)
        record = self.record(kind, name)
        if record.change > progress.done:
            status: ResourceStatus = "provisioning" if record.fresh else "updating"
            return self._view(record, status, progress.problem or ON_ITS_WAY)
        record.fresh = False
        return self._view(record, "active", None)

    def page(self, kind: str, after: str | None, limit: int, progress: Progress) -> Listing:
        """Resources by name, those behind `after`; those being deleted are not among them."""
        names = self._names[kind]
        start = 0 if after is None else bisect_right(names, after)
        page = names[start : start + limit]
        more = start + limit < len(names)
        return Listing(tuple(self.view(kind, name, progress) for name in page), page[-1] if more else None)

    def all(self) -> Iterable[Record]:
        """All records, in the order of kinds and names."""
        for kind in KINDS:
            for name in self._names[kind.key]:
                yield self._records[kind.key][name]

    def _mix(self, what: str, records: Iterable[Record]) -> None:
        text = repr((self._etag, what, [(r.kind.key, r.name, r.etag) for r in records]))
        self._etag = blake2s(text.encode(), digest_size=12).hexdigest()

    def _forget_deleted(self, progress: Progress) -> None:
        if self._forgotten == progress.done:
            return
        self._forgotten = progress.done
        for key in [k for k, (_, change) in self._deleting.items() if change <= progress.done]:
            del self._deleting[key]

    def _view(self, record: Record, status: ResourceStatus, reason: str | None) -> ResourceView:
        return ResourceView(
            kind=record.kind.key,
            name=record.name,
            config=record.document,
            status=status,
            status_reason=reason,
            etag=record.etag,
            created_at=record.created_at,
            updated_at=record.updated_at,
            warnings=self._advised.of(record.kind.key, record.name),
        )


class _Advice:
    """Warnings about an intent by resource, worked out when first asked for."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent

    def of(self, kind: str, name: str) -> tuple[str, ...]:
        return tuple(self._by_resource.get((kind, name), ()))

    @cached_property
    def _by_resource(self) -> Mapping[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for fault in warnings(self.intent):
            place = resource_at(self.intent, fault.path)
            if place is not None:
                kind, name, inner = place
                text = f"{path_text(inner)}: {fault.message}" if inner else fault.message
                found.setdefault((kind, name), []).append(text)
        return found


def resource_at(intent: Intent, path: Path) -> tuple[str, str, Path] | None:
    """The resource that a path of an intent lies in: kind, name, and the path inside it; None for none."""
    if len(path) < 2 or not isinstance(path[0], str) or not isinstance(path[1], int):
        return None
    return path[0], name_of(getattr(intent, path[0])[path[1]]), path[2:]


def of_intent(intent: Intent, now: float) -> Iterable[Record]:
    """Records of an intent that a file describes: version 1, made when the file was read."""
    for kind in KINDS:
        for resource in getattr(intent, kind.key):
            yield Record(kind, resource, 1, now, now)


def written(records: Iterable[Record], removed: Iterable[Record]) -> Log:
    """The event of a write, so that whoever shows resources looks again. Who wrote is in the audit log."""
    done = [
        *(("created" if record.version == 1 else "changed", record) for record in records),
        *(("deleted", record) for record in removed),
    ]
    said = [f"{record.kind.label} {record.name} {what}" for what, record in done[:_NAMED]]
    more = len(done) - len(said)
    text = ", ".join(said) + (f", and {more} more" if more else "")
    return Log("config.changed", "info", "configuration", text, {"resources": len(done)})
