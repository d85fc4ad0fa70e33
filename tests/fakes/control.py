"""A `bgpsvc.control.Control` in memory: the reference scenario's resources, beside `FakeService`.

Documents are judged by `bgpsvc.resources` as in the daemon. Writes are done at once; `settle = False` leaves
them on their way (provisioning, updating, deleting) until it is True again. It refuses what the real one
refuses: mistakes, what is in use, stale ETags, used keys, all while `down`, writes while `file` is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bgpsvc.catalog import Catalog, Progress, Record, of_intent
from bgpsvc.control import (
    Actor,
    AlreadyExists,
    AuditView,
    Document,
    IdempotencyConflict,
    InvalidDocument,
    Listing,
    Mistake,
    NewToken,
    Plan,
    ReadOnly,
    ResourceView,
    Scope,
    StoreUnavailable,
    TokenExpiry,
    TokenView,
    WriteOptions,
    Written,
)
from bgpsvc.insight import (
    Change,
    DecisionStep,
    ExplainedHop,
    ExplainedPath,
    Explanation,
    LookupStep,
    Outcome,
    PolicyVerdict,
    Question,
    SampledRoute,
)
from bgpsvc.peerconfig.facts import IPNetwork, PeerFacts
from bgpsvc.peerconfig.select import peer_facts
from bgpsvc.port import NotFound, PreconditionFailed, RouteFilter
from bgpsvc.resources import Intent
from bgpsvc.resources.changes import diff, intent_of, with_changes
from bgpsvc.resources.kinds import KIND_OF, Kind
from bgpsvc.resources.models import Resource
from bgpsvc.resources.plain import merge_patch, name_of, names_in, parse, parse_all, secrets_of
from bgpsvc.store.accounts import make_token, matches, parse_token
from tests.fakes.service import CONNECTION, GATEWAY, START, FakeService

Wish = tuple[list[tuple[Kind, Resource]], list[tuple[Kind, str]]]
"""What shall be, and what shall not."""
KEY = "generatedKey0001"
SCENARIO: Mapping[str, Any] = {
    "vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16"], "route_table": 1001}],
    "vpn_gateways": [
        {
            "name": GATEWAY,
            "vpc": "vpc1",
            "addresses": ["198.51.100.1", "198.51.100.3"],
            "auto_propagate": True,
        }
    ],
    "customer_gateways": [
        {"name": "cgw1", "address": "198.51.100.2", "asn": 65500},
        {"name": "cgw2", "address": "198.51.100.4", "asn": 65500},
    ],
    "vpn_connections": [
        {
            "name": CONNECTION,
            "vpn_gateway": GATEWAY,
            "enable_bgp": True,
            "local_asn": 65530,
            "tunnels": [
                {
                    "customer_gateway": f"cgw{number}",
                    "interface": f"t{number}",
                    "bgp": {"tunnel_cidr": f"169.254.{number}0.0/30", "local_ip": f"169.254.{number}0.1"},
                    "ike": {"pre_shared_key": f"sharedKey{number}"},
                }
                for number in (1, 2)
            ],
        }
    ],
}


@dataclass(frozen=True)
class _Token:
    view: TokenView
    digest: bytes


@dataclass
class FakeControl:
    """See the module. `now` is the clock; tests set it."""

    service: FakeService
    document: Mapping[str, Any] = field(default_factory=lambda: SCENARIO)
    file: str | None = None
    down: bool = False
    settle: bool = True
    now: float = START + 3600
    log: list[AuditView] = field(default_factory=list)

    def __post_init__(self) -> None:
        intent = intent_of(parse_all(self.document, make_key=lambda: KEY))
        self._catalog = Catalog(intent, of_intent(intent, START))
        self._changes = 0
        self._tokens: dict[str, _Token] = {}
        self._done: dict[tuple[str, str], tuple[str, Written]] = {}
        self._generation = 0

    # Resources.

    @property
    def read_only(self) -> str | None:
        return None if self.file is None else f"the resources come from {self.file}"

    @property
    def _progress(self) -> Progress:
        return Progress(self._changes if self.settle else 0)

    def resource(self, kind: str, name: str) -> ResourceView:
        return self._catalog.view(kind, name, self._progress)

    def resources(self, kind: str, after: str | None, limit: int) -> Listing:
        return self._catalog.page(kind, after, limit, self._progress)

    def configuration(self) -> Document:
        found: dict[str, list[Any]] = {}
        for record in self._catalog.all():
            found.setdefault(record.kind.key, []).append(record.document)
        return found

    def configuration_etag(self) -> str:
        return self._catalog.etag

    async def create(self, kind: str, document: Document, options: WriteOptions, actor: Actor) -> Written:
        def wish() -> Wish:
            made = parse(KIND_OF[kind], document, make_key=lambda: KEY)
            if self._catalog.get(kind, name_of(made)) is not None:
                raise AlreadyExists(f"there is a {KIND_OF[kind].label} {name_of(made)!r} already")
            return [(KIND_OF[kind], made)], []

        return await self._write(wish, kind, options, actor)

    async def replace(
        self, kind: str, name: str, document: Document, options: WriteOptions, actor: Actor
    ) -> Written:
        return await self._write(lambda: self._changed(kind, name, document, options), kind, options, actor)

    async def patch(
        self, kind: str, name: str, patch: Document, options: WriteOptions, actor: Actor
    ) -> Written:
        def wish() -> Wish:
            before = self._catalog.record(kind, name).document
            return self._changed(kind, name, merge_patch(before, patch), options)

        return await self._write(wish, kind, options, actor)

    def _changed(self, kind: str, name: str, document: Document, options: WriteOptions) -> Wish:
        record = self._checked(kind, name, options)
        made = parse(KIND_OF[kind], document, keep=record.resource, make_key=lambda: KEY)
        return [(record.kind, made)], []

    def _checked(self, kind: str, name: str, options: WriteOptions) -> Record:
        record = self._catalog.record(kind, name)
        if options.etag is not None and options.etag != record.etag:
            raise PreconditionFailed(f"the {record.kind.label} {name!r} changed meanwhile")
        return record

    async def delete(self, kind: str, name: str, options: WriteOptions, actor: Actor) -> Written:
        def wish() -> Wish:
            return [], [(self._checked(kind, name, options).kind, name)]

        return await self._write(wish, kind, options, actor)

    async def apply(self, document: Document, prune: bool, options: WriteOptions, actor: Actor) -> Written:
        def wish() -> Wish:
            self._check_whole(options)
            puts = list(parse_all(document, keep=self._catalog.intent, make_key=lambda: KEY))
            named = {(kind.key, name_of(resource)) for kind, resource in puts}
            rest = [(r.kind, r.name) for r in self._catalog.all() if (r.kind.key, r.name) not in named]
            return puts, rest if prune else []

        return await self._write(wish, None, options, actor)

    async def remove(self, document: Document, options: WriteOptions, actor: Actor) -> Written:
        def wish() -> Wish:
            self._check_whole(options)
            known = [(k, n) for k, n in names_in(document) if self._catalog.get(k.key, n) is not None]
            return [], known

        return await self._write(wish, None, options, actor)

    def _check_whole(self, options: WriteOptions) -> None:
        if options.etag is not None and options.etag != self._catalog.etag:
            raise PreconditionFailed("the configuration changed meanwhile")

    async def _write(
        self,
        wish: Callable[[], Wish],
        kind: str | None,
        options: WriteOptions,
        actor: Actor,
    ) -> Written:
        if self.file is not None:
            raise ReadOnly(f"{self.read_only}, and are changed there")
        self._check_store()
        key = (actor.name, options.idempotency_key or "")
        if options.idempotency_key is not None and key in self._done:
            fingerprint, before = self._done[key]
            if fingerprint != options.fingerprint:
                raise IdempotencyConflict("the Idempotency-Key was used before, with another request")
            return replace(before, replayed=True)
        puts, removals = wish()
        after = with_changes(self._catalog.intent, puts, removals, whole=kind is None)
        plan = Plan(resources=diff(self._catalog.intent, after))
        if options.dry_run:
            return Written(plan, dry_run=True)
        written = self._commit(after, puts, removals, plan, kind, actor)
        if options.idempotency_key is not None:
            self._done[key] = (options.fingerprint, written)
        return written

    def _commit(
        self,
        after: Intent,
        puts: list[tuple[Kind, Resource]],
        removals: list[tuple[Kind, str]],
        plan: Plan,
        kind: str | None,
        actor: Actor,
    ) -> Written:
        records = [r for put in puts if (r := self._next(*put)) is not None]
        removed = [self._catalog.record(k.key, n) for k, n in removals]
        if not records and not removed:
            view = None if kind is None else self.resource(kind, name_of(puts[0][1]))
            return Written(plan, view)
        self._changes += 1
        for record in records:
            record.change = self._changes
        for record in records:
            before = self._catalog.get(record.kind.key, record.name)
            action, old = ("create", None) if before is None else ("update", before.document)
            self._note(action, record.kind.key, record.name, old, record.document, actor)
        for record in removed:
            self._note("delete", record.kind.key, record.name, record.document, None, actor)
        target = (name_of(puts[0][1]) if puts else removals[0][1]) if kind is not None else None
        created = kind is not None and bool(records) and records[0].version == 1
        self._catalog.take(after, records, removed, self._changes)
        view = None
        if kind is not None and target is not None:
            # What is deleted is shown on its way out, as the daemon does, whatever the speed of what follows.
            done = self._progress if puts else Progress(self._changes - 1)
            view = self._catalog.view(kind, target, done)
        self._follow(after)
        return Written(plan, view, created)

    def _next(self, kind: Kind, resource: Resource) -> Record | None:
        before = self._catalog.get(kind.key, name_of(resource))
        if before is None:
            return Record(kind, resource, 1, self.now, self.now, fresh=True)
        if before.resource == resource:
            return None
        return Record(kind, resource, before.version + 1, before.created_at, self.now)

    def _follow(self, intent: Intent) -> None:
        """What the engine does with an intent, as far as the fake service has it."""
        for gateway in intent.vpn_gateways:
            if gateway.name == GATEWAY:
                self.service.auto_propagate = gateway.auto_propagate

    # Accounts, secrets, audit.

    async def reveal(self, kind: str, name: str, actor: Actor) -> Mapping[str, str]:
        self._check_store()
        found = secrets_of(self._catalog.record(kind, name).resource)
        self._note("reveal", kind, name, None, {"pointers": sorted(found)}, actor)
        return found

    async def peer_facts(
        self, connection: str, platform: str, networks: Sequence[IPNetwork], secrets: bool, actor: Actor
    ) -> PeerFacts:
        self._catalog.record("vpn_connections", connection)
        if secrets:
            self._check_store()
            told = {"peer_config": platform}
            self._note("reveal", "vpn_connections", connection, None, told, actor)
        return peer_facts(self._catalog.intent, connection, secrets=secrets, networks=networks)

    def secret_count(self) -> int:
        return sum(len(secrets_of(record.resource)) for record in self._catalog.all())

    async def rotate_key(self, actor: Actor) -> int:
        self._check_store()
        self._note("key.rotate", None, None, None, None, actor)
        return self.secret_count()

    async def authenticate(self, token: str, source: str) -> Actor | None:
        parts = parse_token(token)
        found = None if parts is None else self._tokens.get(parts[0])
        if found is None or parts is None or not matches(found.digest, parts[1]):
            return None
        view = found.view
        if view.revoked_at is not None or (view.expires_at is not None and view.expires_at <= self.now):
            return None
        self._tokens[view.id] = replace(found, view=replace(view, last_used_at=self.now))
        return Actor(f"token {view.id} ({view.name})", view.scope, source, view.id)

    async def record(
        self,
        action: str,
        kind: str | None,
        name: str | None,
        old: Document | None,
        new: Document | None,
        actor: Actor,
    ) -> None:
        self._check_store()
        self._note(action, kind, name, old, new, actor)

    def token_expiries(self) -> Mapping[str, TokenExpiry]:
        views = [token.view for token in self._tokens.values()]
        return {
            view.id: TokenExpiry(view.name, view.created_at, view.expires_at)
            for view in views
            if view.expires_at is not None and view.revoked_at is None and view.last_used_at is not None
        }

    async def tokens(self, after: str | None, limit: int) -> Listing:
        self._check_store()
        known = sorted(ident for ident in self._tokens if after is None or ident > after)
        page = tuple(self._tokens[ident].view for ident in known[:limit])
        return Listing(page, page[-1].id if len(known) > limit else None)

    async def token(self, ident: str) -> TokenView:
        if ident not in self._tokens:
            raise NotFound("token", ident)
        return self._tokens[ident].view

    async def create_token(self, name: str, scope: Scope, expires_at: float | None, actor: Actor) -> NewToken:
        self._check_store()
        return self.add_token(name, scope, expires_at, actor)

    def add_token(
        self, name: str, scope: Scope, expires_at: float | None = None, actor: Actor | None = None
    ) -> NewToken:
        """A token, for tests without a loop."""
        number = len(self._tokens) + 1
        text, ident, made = make_token(lambda count: number.to_bytes(count, "big"))
        view = TokenView(ident, name, scope, self.now, expires_at, None, None)
        self._tokens[ident] = _Token(view, made)
        if actor is not None:
            self._note("token.create", "tokens", ident, None, {"name": name, "scope": scope.value}, actor)
        return NewToken(view, text)

    async def revoke_token(self, ident: str, actor: Actor) -> TokenView:
        self._check_store()
        view = await self.token(ident)
        if view.revoked_at is None:
            view = replace(view, revoked_at=self.now)
            self._tokens[ident] = replace(self._tokens[ident], view=view)
            self._note("token.revoke", "tokens", ident, {"name": view.name}, None, actor)
        return view

    async def audit(
        self, before: int | None, limit: int, kind: str | None, name: str | None, actor: str | None
    ) -> tuple[AuditView, ...]:
        self._check_store()
        found = (
            entry
            for entry in reversed(self.log)
            if (before is None or entry.id < before)
            and kind in (None, entry.kind)
            and name in (None, entry.name)
            and actor in (None, entry.actor)
        )
        return tuple(entry for entry, _ in zip(found, range(limit), strict=False))

    def _note(
        self,
        action: str,
        kind: str | None,
        name: str | None,
        old: Document | None,
        new: Document | None,
        actor: Actor,
    ) -> None:
        number = len(self.log) + 1
        self.log.append(AuditView(number, self.now, actor.name, actor.source, action, kind, name, old, new))

    def _check_store(self) -> None:
        if self.down:
            raise StoreUnavailable("the database does not answer; nothing was changed")

    # Questions.

    async def explain(self, gateway: str, prefix: str) -> Explanation:
        wanted = RouteFilter(prefix=prefix, match="exact" if "/" in prefix else "best")
        rows = self.service.routes_now(gateway, wanted, 1, None).items
        if not rows:
            raise NotFound("route", prefix)
        route = rows[0]
        hops = [c for c in route.candidates if c.rank is not None]
        return Explanation(
            prefix=route.prefix,
            family=route.family,
            gateway=gateway,
            vpc=route.vpc,
            asked=prefix,
            state=route.state,
            reason=route.reason,
            summary=f"packets take {route.session}" if route.session else str(route.reason_text),
            paths=tuple(_explained(candidate) for candidate in route.candidates),
            decision=(
                DecisionStep(
                    3,
                    "local preference",
                    {c.session: str(c.local_pref) for c in hops},
                    tuple(c.session for c in hops[1:]),
                    tuple(c.session for c in hops[:1]),
                ),
            )
            if len(hops) > 1
            else (),
            hops=tuple(
                ExplainedHop(c.session, "t1", c.next_hop, "live", "session established", c.in_use)
                for c in hops
            ),
            nexthop_group=route.nexthop_group,
            interface=route.interface,
            lookup=(LookupStep("vpc_table", None, route.session is not None, "the VPC's table"),),
            less_specific=None,
        )

    async def simulate(self, gateway: str, question: Question) -> Outcome:
        self.service.gateway(gateway)
        known = [tunnel.id for tunnel in self.service.connection(CONNECTION).tunnels]
        mistakes = [
            Mistake(f"/{member}/{index}", name, "is no tunnel of the gateway", ", ".join(known))
            for member in ("fail_tunnels", "recover_tunnels")
            for index, name in enumerate(getattr(question, member))
            if name not in known
        ]
        if mistakes:
            raise InvalidDocument(mistakes)
        parse_all(question.documents, keep=self._catalog.intent)
        routes = self.service.routes_now(gateway, RouteFilter(state="installed"), 1000, None).items
        moved = [route for route in routes if route.session in question.fail_tunnels]
        samples = tuple(
            SampledRoute(route.prefix, route.session, None, f"{route.session} would be down")
            for route in moved[: question.samples]
        )
        none = Change(0, ())
        lost = Change(len(moved), samples)
        return Outcome(gateway, none, lost, none, len(routes) - len(moved), {}, {}, ())


def _explained(candidate: Any) -> ExplainedPath:
    refused = candidate.rank is None
    verdict = PolicyVerdict("built_in", None, None, not refused, (), candidate.reason_text or "accepted")
    received = {"next_hop": candidate.next_hop, "as_path": candidate.as_path, "origin": candidate.origin}
    return ExplainedPath(
        candidate.session, candidate.role, received, (verdict,), None if refused else candidate
    )
