"""Writes: validated, stored, handed to the running gateway (`control.Control`).

One write at a time. Each goes the same way: what is asked for becomes resources, the whole intent is checked
with them, the plan is made, everything is committed in one transaction with its audit entries, and only
then the engine takes the new intent. So a write that was acknowledged survives anything, and one that
failed has changed nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from bgpsvc.accounts import Accounts
from bgpsvc.catalog import Catalog, Progress, Record, written
from bgpsvc.choices import Choices
from bgpsvc.control import (
    Actor,
    AlreadyExists,
    AuditView,
    Document,
    IdempotencyConflict,
    Listing,
    NewToken,
    Plan,
    ReadOnly,
    ResourceView,
    Scope,
    TokenExpiry,
    TokenView,
    WriteOptions,
    Written,
)
from bgpsvc.documents import catalog_of, stored
from bgpsvc.explaining import explain
from bgpsvc.insight import Explanation, Outcome, Question
from bgpsvc.peerconfig.facts import IPNetwork, PeerFacts
from bgpsvc.peerconfig.select import peer_facts
from bgpsvc.planning import plan
from bgpsvc.port import NotFound, PreconditionFailed
from bgpsvc.resources import Intent
from bgpsvc.resources.changes import with_changes
from bgpsvc.resources.kinds import KIND_OF, KINDS, Kind
from bgpsvc.resources.models import Resource
from bgpsvc.resources.plain import merge_patch, name_of, names_in, parse, parse_all, secrets_of
from bgpsvc.runtime import Runtime
from bgpsvc.simulation import simulate
from bgpsvc.standing import why_not
from bgpsvc.store.database import Store
from bgpsvc.store.errors import WriteConflict
from bgpsvc.store.records import AuditEntry, Batch, Remembered
from bgpsvc.tracing import NOT_TRACED, Tracer, end_when
from bgpsvc.turns import in_turns

KEY_LENGTH = 16
"""Characters of a generated pre-shared key, as the clouds make them."""
THREAD_ABOVE = 500
"""Resources in one write above which they are checked in a thread, so that the event loop goes on."""

_OUTCOME = TypeAdapter(Written)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a write wants: resources that shall be, resources that shall not, and which one it is about."""

    puts: tuple[tuple[Kind, Resource], ...] = ()
    removals: tuple[tuple[Kind, str], ...] = ()
    target: tuple[str, str] | None = None


class Controller:
    """`control.Control` over a store and a running gateway.

    `file` is the configuration file whose resources are served read-only, None if they are the store's.
    """

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        choices: Choices,
        catalog: Catalog,
        file: str | None,
        clock: Callable[[], float] = time.time,
        tracer: Tracer = NOT_TRACED,
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._choices = choices
        self._catalog = catalog
        self._file = file
        self._clock = clock
        self._tracer = tracer
        self._traced: set[asyncio.Task[None]] = set()
        """Spans of changes on their way, while there are traces."""
        self._accounts = Accounts(store, clock)
        self._writing = asyncio.Lock()

    # Reading ----------------------------------------------------------------------------------

    @property
    def read_only(self) -> str | None:
        """Why resources cannot be written; None if they can."""
        return None if self._file is None else f"the resources come from {self._file}"

    @property
    def _progress(self) -> Progress:
        return Progress(self._runtime.settled, self._runtime.problem)

    def resource(self, kind: str, name: str) -> ResourceView:
        """One resource."""
        return self._standing(self._catalog.view(kind, name, self._progress))

    def resources(self, kind: str, after: str | None, limit: int) -> Listing:
        """Resources by name."""
        page = self._catalog.page(kind, after, limit, self._progress)
        return replace(page, items=tuple(self._standing(view) for view in page.items))

    def _standing(self, view: ResourceView) -> ResourceView:
        if view.status != "active":
            return view
        why = why_not(self._runtime.engine, self._runtime.custom_problems, view.kind, view.name)
        return view if why is None else replace(view, status_reason=why)

    def configuration(self) -> Document:
        """All resources in the form of the configuration file, secrets masked."""
        made: dict[str, list[Mapping[str, Any]]] = {}
        for record in self._catalog.all():
            made.setdefault(record.kind.key, []).append(record.document)
        return made

    def configuration_etag(self) -> str:
        """Changes with every write of any resource."""
        return self._catalog.etag

    def file_read(self, intent: Intent, change: int) -> None:
        """The configuration file was read again: these are the resources now, since this change."""
        assert self._file is not None, "only where a file describes the resources"
        now = self._clock()
        found = {(kind.key, name) for kind in KINDS for name in intent.of_kind(kind.key)}
        puts = [
            record
            for key, name in sorted(found)
            if (record := self._next(KIND_OF[key], intent.of_kind(key)[name], now)) is not None
        ]
        removed = [r for r in self._catalog.all() if (r.kind.key, r.name) not in found]
        for record in puts:
            record.change = change
        self._catalog.take(intent, puts, removed, change)

    # Writing ----------------------------------------------------------------------------------

    async def create(self, kind: str, document: Document, options: WriteOptions, actor: Actor) -> Written:
        """Make a resource."""

        def wish() -> _Wish:
            resource = self._parse(kind, document, None)
            name = name_of(resource)
            if self._catalog.get(kind, name) is not None:
                raise AlreadyExists(f"there is a {KIND_OF[kind].label} {name!r} already")
            return _Wish(puts=((KIND_OF[kind], resource),), target=(kind, name))

        return await self._write(wish, options, actor)

    async def replace(
        self, kind: str, name: str, document: Document, options: WriteOptions, actor: Actor
    ) -> Written:
        """Make a resource what the document says."""
        return await self._write(
            lambda: self._update(kind, name, lambda _: document, options), options, actor
        )

    async def patch(
        self, kind: str, name: str, patch: Document, options: WriteOptions, actor: Actor
    ) -> Written:
        """Change some fields (RFC 7396)."""
        return await self._write(
            lambda: self._update(kind, name, lambda before: merge_patch(before, patch), options),
            options,
            actor,
        )

    def _update(
        self, kind: str, name: str, made: Callable[[Document], Document], options: WriteOptions
    ) -> _Wish:
        record = self._checked(kind, name, options)
        document = {"name": name, **made(record.document)}
        resource = self._parse(kind, document, record.resource)
        return _Wish(puts=((record.kind, resource),), target=(kind, name))

    async def delete(self, kind: str, name: str, options: WriteOptions, actor: Actor) -> Written:
        """Remove a resource that nothing refers to."""

        def wish() -> _Wish:
            record = self._checked(kind, name, options)
            return _Wish(removals=((record.kind, name),), target=(kind, name))

        return await self._write(wish, options, actor)

    def _checked(self, kind: str, name: str, options: WriteOptions) -> Record:
        record = self._catalog.record(kind, name)
        if options.etag is not None and options.etag != record.etag:
            text = f"the {record.kind.label} {name!r} has changed since it was read: its ETag is now"
            raise PreconditionFailed(f'{text} "{record.etag}"')
        return record

    async def apply(self, document: Document, prune: bool, options: WriteOptions, actor: Actor) -> Written:
        """Create and update all that the document has; `prune` removes the rest."""

        def wish() -> _Wish:
            self._check_whole(options)
            puts = self._all_of(document)
            named = {(kind.key, name_of(resource)) for kind, resource in puts}
            removals: Iterable[Record] = self._catalog.all() if prune else ()
            gone = tuple((r.kind, r.name) for r in removals if (r.kind.key, r.name) not in named)
            return _Wish(puts, gone)

        return await self._write(wish, options, actor)

    async def remove(self, document: Document, options: WriteOptions, actor: Actor) -> Written:
        """Remove all that the document names and that is there."""

        def wish() -> _Wish:
            self._check_whole(options)
            there = (
                (kind, name)
                for kind, name in names_in(document)
                if self._catalog.get(kind.key, name) is not None
            )
            return _Wish(removals=tuple(there))

        return await self._write(wish, options, actor)

    def _check_whole(self, options: WriteOptions) -> None:
        if options.etag is not None and options.etag != self._catalog.etag:
            text = "the configuration has changed since it was read: its ETag is now"
            raise PreconditionFailed(f'{text} "{self._catalog.etag}"')

    def _all_of(self, document: Document) -> tuple[tuple[Kind, Resource], ...]:
        return parse_all(document, keep=self._catalog.intent, make_key=_new_key)

    def _parse(self, kind: str, document: Document, keep: Resource | None) -> Resource:
        return parse(KIND_OF[kind], document, keep=keep, make_key=_new_key)

    async def _write(self, wish: Callable[[], _Wish], options: WriteOptions, actor: Actor) -> Written:
        if self._file is not None:
            raise ReadOnly(f"{self.read_only}, and are changed there")
        async with self._writing:
            key = None if options.dry_run else options.idempotency_key
            if key is not None:
                before = await self._store.remembered(actor.name, key)
                if before is not None:
                    return _replayed(before, options)
            wished = wish()
            old = self._catalog.intent
            new = await self._checked_intent(old, wished)
            planned = plan(old, new, self._runtime.engine)
            created = wished.target is not None and self._catalog.get(*wished.target) is None
            if options.dry_run:
                return Written(planned, self._target(wished), created, dry_run=True)
            # Who goes away does not stop a write: what is committed is also taken.
            commit = asyncio.create_task(self._commit(wished, new, planned, created, key, options, actor))
            try:
                return await asyncio.shield(commit)
            finally:
                # The next one must see what came of it, also if nobody waits for the answer any more.
                await asyncio.wait([commit])

    async def _checked_intent(self, old: Intent, wished: _Wish) -> Intent:
        whole = wished.target is None
        if len(wished.puts) > THREAD_ABOVE:
            return await asyncio.to_thread(with_changes, old, wished.puts, wished.removals, whole=whole)
        return with_changes(old, wished.puts, wished.removals, whole=whole)

    def _target(self, wished: _Wish) -> ResourceView | None:
        if wished.target is None or self._catalog.get(*wished.target) is None:
            return None
        return self.resource(*wished.target)

    async def _commit(
        self,
        wished: _Wish,
        new: Intent,
        planned: Plan,
        created: bool,
        key: str | None,
        options: WriteOptions,
        actor: Actor,
    ) -> Written:
        now = self._clock()
        records = [r for kind, resource in wished.puts if (r := self._next(kind, resource, now)) is not None]
        removed = [self._catalog.record(kind.key, name) for kind, name in wished.removals]
        batch = self._batch(records, removed, actor, now)
        changed = bool(records or removed)
        if key is not None:
            # What a repetition is told is what was known at the commit: the resource on its way.
            told = Written(planned, self._told(wished, records, removed), created)
            outcome = _OUTCOME.dump_python(told, mode="json")
            remember = Remembered(actor.name, key, options.fingerprint, outcome, now)
            batch = replace(batch, remember=remember)
        if not changed and key is None:
            return Written(planned, self._target(wished))
        try:
            with self._tracer.span(
                "store.write", {"bgpsvc.resources": len(batch.puts) + len(batch.removals)}
            ):
                await self._store.write(batch)
        except WriteConflict as error:
            await self._read_anew()
            raise PreconditionFailed(f"the store had another state and was read anew: {error}") from error
        if not changed:
            return Written(planned, self._target(wished))
        # From here on nothing is waited for: what is committed is also taken and told.
        self._take(new, records, removed, batch)
        return Written(planned, None if wished.target is None else self.resource(*wished.target), created)

    def _batch(self, records: list[Record], removed: list[Record], actor: Actor, now: float) -> Batch:
        audit = (*(self._audit(r, actor, now) for r in records), *(_removal(r, actor, now) for r in removed))
        forget, forgotten = self._choices.of_connections(_connections(removed), actor)
        return Batch(
            puts=tuple(stored(record) for record in records),
            removals=tuple((record.kind.key, record.name) for record in removed),
            audit=(*forgotten, *audit),
            forget=forget,
        )

    def _take(self, new: Intent, records: list[Record], removed: list[Record], batch: Batch) -> None:
        self._choices.forgotten(batch.forget)
        for name in _connections(removed):
            self._runtime.forget_mode(name)
        change = self._runtime.adopt(new)
        for record in records:
            record.change = change
        self._catalog.take(new, records, removed, change)
        self._runtime.note(written(records, removed))
        self._trace(change)

    def _trace(self, change: int) -> None:
        """A span until kernel and speakers have taken a change, or could not: the answer does not wait."""
        if self._tracer.on:
            span = self._tracer.begin("change.settle", {"bgpsvc.change": change})
            task = asyncio.create_task(end_when(self._runtime.until_settled(change), span))
            self._traced.add(task)
            task.add_done_callback(self._traced.discard)

    async def _read_anew(self) -> None:
        """The store has a write that we do not know of: its outcome was unknown, and it was committed."""
        self._catalog = catalog_of(await self._store.load())
        change = self._runtime.adopt(self._catalog.intent)
        for record in self._catalog.all():
            record.change = change

    def _next(self, kind: Kind, resource: Resource, now: float) -> Record | None:
        """The record that a put makes; None if it changes nothing."""
        before = self._catalog.get(kind.key, name_of(resource))
        if before is None:
            return Record(kind, resource, 1, now, now, fresh=True)
        if before.resource == resource:
            return None
        return Record(kind, resource, before.version + 1, before.created_at, now, fresh=before.fresh)

    def _audit(self, record: Record, actor: Actor, now: float) -> AuditEntry:
        before = self._catalog.get(record.kind.key, record.name)
        return AuditEntry(
            now,
            actor.name,
            actor.source,
            "create" if before is None else "update",
            record.kind.key,
            record.name,
            None if before is None else before.document,
            record.document,
        )

    def _told(self, wished: _Wish, records: list[Record], removed: list[Record]) -> ResourceView | None:
        if wished.target is None:
            return None
        intent = self._catalog.intent
        if removed:
            return Catalog(intent, removed).view(*wished.target, Progress(0))
        if not records:
            return self._target(wished)
        record = replace(records[0], change=1)
        return Catalog(intent, [record]).view(*wished.target, Progress(0))

    # Secrets and accounts ---------------------------------------------------------------------

    async def reveal(self, kind: str, name: str, actor: Actor) -> Mapping[str, str]:
        """The secrets of a resource by pointer; audited before they are returned."""
        record = self._catalog.record(kind, name)
        found = secrets_of(record.resource)
        entry = AuditEntry(
            self._clock(), actor.name, actor.source, "reveal", kind, name, None, {"pointers": sorted(found)}
        )
        await self._store.add_audit([entry])
        return found

    async def peer_facts(
        self, connection: str, platform: str, networks: Sequence[IPNetwork], secrets: bool, actor: Actor
    ) -> PeerFacts:
        """What the other side of a VPN connection must be told; with `secrets` audited first."""
        kind = "vpn_connections"
        found = secrets_of(self._catalog.record(kind, connection).resource)
        if secrets:
            told = {"pointers": sorted(found), "peer_config": platform}
            entry = AuditEntry(
                self._clock(), actor.name, actor.source, "reveal", kind, connection, None, told
            )
            await self._store.add_audit([entry])
        return peer_facts(self._catalog.intent, connection, secrets=secrets, networks=networks)

    def secret_count(self) -> int:
        """Secrets in the store; those of a configuration file are none of ours."""
        if self._file is not None:
            return 0
        return sum(len(secrets_of(record.resource)) for record in self._catalog.all())

    async def rotate_key(self, actor: Actor) -> int:
        """Encrypt all secrets with a new key."""
        async with self._writing:
            entry = AuditEntry(self._clock(), actor.name, actor.source, "key.rotate")
            return await self._store.rotate(entry)

    async def authenticate(self, token: str, source: str) -> Actor | None:
        """Whose token that is."""
        return await self._accounts.authenticate(token, source)

    async def record(
        self,
        action: str,
        kind: str | None,
        name: str | None,
        old: Document | None,
        new: Document | None,
        actor: Actor,
    ) -> None:
        """Add an entry to the audit log."""
        await self._store.add_audit(
            [AuditEntry(self._clock(), actor.name, actor.source, action, kind, name, old, new)]
        )

    def token_expiries(self) -> Mapping[str, TokenExpiry]:
        """When tokens expire, of those used lately."""
        return self._accounts.expiries()

    async def tokens(self, after: str | None, limit: int) -> Listing:
        """Tokens by id."""
        return await self._accounts.page(after, limit)

    async def token(self, ident: str) -> TokenView:
        """One token."""
        return await self._accounts.view(ident)

    async def create_token(self, name: str, scope: Scope, expires_at: float | None, actor: Actor) -> NewToken:
        """Make a token."""
        return await self._accounts.create(name, scope, expires_at, actor)

    async def revoke_token(self, ident: str, actor: Actor) -> TokenView:
        """End a token."""
        return await self._accounts.revoke(ident, actor)

    async def audit(
        self, before: int | None, limit: int, kind: str | None, name: str | None, actor: str | None
    ) -> tuple[AuditView, ...]:
        """Audit entries, newest first."""
        return await self._store.audit(before, limit, kind, name, actor)

    # Questions --------------------------------------------------------------------------------

    async def explain(self, gateway: str, prefix: str) -> Explanation:
        """The story of a prefix."""
        self._check_gateway(gateway)
        return explain(self._runtime.engine, gateway, prefix)

    async def simulate(self, gateway: str, question: Question) -> Outcome:
        """What would come of a question."""
        self._check_gateway(gateway)
        hypothetical: Intent | None = None
        if question.documents:
            puts = self._all_of(question.documents)
            hypothetical = with_changes(self._runtime.engine.intent, puts, (), whole=True)
        return await in_turns(simulate(self._runtime.engine, gateway, question, hypothetical))

    def _check_gateway(self, name: str) -> None:
        gateways = self._runtime.engine.gateways
        if name not in gateways:
            raise NotFound("VPN gateway", name, tuple(gateways))


def _replayed(before: Remembered, options: WriteOptions) -> Written:
    if before.fingerprint != options.fingerprint:
        raise IdempotencyConflict("the Idempotency-Key was used before, with another request")
    return replace(_OUTCOME.validate_python(before.outcome), replayed=True)


def _connections(records: Iterable[Record]) -> list[str]:
    return [record.name for record in records if record.kind.key == "vpn_connections"]


def _removal(record: Record, actor: Actor, now: float) -> AuditEntry:
    return AuditEntry(
        now, actor.name, actor.source, "delete", record.kind.key, record.name, record.document, None
    )


def _new_key() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(KEY_LENGTH))
