"""What the outside may change: resources, accounts, secrets; and the port through which it does.

Documents are plain JSON values in the form of the configuration file (`resources`), so a resource reads
the same in YAML, in REST and in the store. Secrets in them are masked (`resources.fields.MASK`); a document
that is written back with a mask keeps the secret that is there.

Every write of `Control` either is committed when it returns, or raises and has changed nothing. What it
changes in sessions, kernel and peers follows at once, in the background: `ResourceView.status`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol

Document = Mapping[str, Any]
ResourceStatus = Literal["init", "provisioning", "active", "updating", "deleting"]
"""The cloud's words. provisioning: made and on its way into kernel and speakers for the first time;
updating: a change is on its way; deleting: removed, and its routes and sessions are being taken down."""


class Scope(StrEnum):
    """What a token may do; each includes those before it."""

    READ = "read"
    """See everything but secrets."""
    OPERATE = "operate"
    """Act on what there is: switch, restart, diagnose, propagation."""
    ADMIN = "admin"
    """Change resources, reveal secrets, make tokens."""

    def includes(self, needed: Scope) -> bool:
        """True if whoever has this scope may do what needs `needed`."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, for the audit log.

    `name` is `token <id> (<name>)`, `unix socket`, `anonymous` or `system`; `source` the address the request
    came from, or the socket.
    """

    name: str
    scope: Scope
    source: str
    token: str | None = None
    """Id of the token, None without one."""


SYSTEM = Actor("system", Scope.ADMIN, "daemon")


@dataclass(frozen=True, slots=True)
class ResourceView:
    """One resource as it is stored. `kind` is `resources.kinds.Kind.key`; times are Unix seconds."""

    kind: str
    name: str
    config: Document
    """The whole document with defaults filled in, secrets masked."""
    status: ResourceStatus
    status_reason: str | None
    """What is waited for, or why it is stuck; of an active route why packets do not take it now."""
    etag: str
    created_at: float
    updated_at: float
    warnings: tuple[str, ...] = ()
    """What is legal in it and worth a look: legacy algorithms, overlapping routes."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One changed field. `pointer` as `/tunnels/0/bgp/hold_time`; None: absent; secrets are masked."""

    pointer: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class PlannedResource:
    """What happens to one resource."""

    action: Literal["create", "update", "delete"]
    kind: str
    name: str
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedEffect:
    """What happens to a tunnel, a session, to the kernel, or to what a peer hears.

    `action`: for tunnels and sessions add, remove, reset (goes down and comes back), update (stays up); for
    the kernel add, remove, move; for peers announce, withdraw, change. `subject` names the tunnel, session,
    rule, table or prefixes; `count` how many prefixes or rules it stands for.
    """

    action: Literal["add", "remove", "reset", "update", "move", "announce", "withdraw", "change"]
    subject: str
    detail: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a write does, or would do. All empty: nothing."""

    resources: tuple[PlannedResource, ...] = ()
    tunnels: tuple[PlannedEffect, ...] = ()
    sessions: tuple[PlannedEffect, ...] = ()
    kernel: tuple[PlannedEffect, ...] = ()
    peers: tuple[PlannedEffect, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """Outcome of a write. `resource` is None for a dry run of a creation, after a deletion is done, and for
    `apply`; `created` says whether the resource is new."""

    plan: Plan
    resource: ResourceView | None = None
    created: bool = False
    dry_run: bool = False
    replayed: bool = False
    """The same Idempotency-Key was used before: this is what came of it then; nothing was done now."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write. `etag`: refuse if the resource's is another one. `idempotency_key`: do it once; with it
    `fingerprint` tells the same request from another one with the same key."""

    dry_run: bool = False
    etag: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class TokenView:
    """An API token without its secret. Times are Unix seconds."""

    id: str
    name: str
    scope: Scope
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None


class TokenExpiry(NamedTuple):
    """When a token was made and when it expires (Unix seconds), with its name."""

    name: str
    made: float
    at: float


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. `text` is `bgpsvc_<id>.<secret>` and never seen again."""

    view: TokenView
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditView:
    """One entry of the audit log; `old` and `new` have their secrets masked."""

    id: int
    time: float
    actor: str
    source: str
    action: str
    """`create`, `update`, `delete`, `apply`, `switch`, `propagate`, `reveal`, `token.create`, `token.revoke`,
    `key.rotate`, `authentication.failed`."""
    kind: str | None
    name: str | None
    old: Document | None
    new: Document | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A keyset page: items in order, and the last one's key if there are more (None: this is the end)."""

    items: tuple[Any, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with a document. `pointer` as `/tunnels/0/bgp/tunnel_cidr`; `value` as given, masked if
    secret; `allowed` in words, may be empty."""

    pointer: str
    value: str | None
    message: str
    allowed: str


class InvalidDocument(ValueError):
    """A document is refused; `mistakes` has all that is wrong with it."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{m.pointer}: {m.message}" for m in mistakes))
        self.mistakes = tuple(mistakes)


class AlreadyExists(Exception):
    """There is a resource of that name already."""


class InUse(Exception):
    """What is to be deleted is referred to. `users`: `VPN connection conn1`, …"""

    def __init__(self, what: str, users: Sequence[str]) -> None:
        super().__init__(f"{what} is in use by {', '.join(users)}")
        self.users = tuple(users)


class ReadOnly(Exception):
    """Resources come from a file (`serve --config`), and are changed there."""


class IdempotencyConflict(Exception):
    """The Idempotency-Key was used before with another request."""


class StoreUnavailable(Exception):
    """The database does not answer; nothing was changed. Forwarding goes on."""


class Control(Protocol):
    """Everything that changes what the service is told to do.

    Methods that name a resource raise `port.NotFound`; those that write raise InvalidDocument,
    AlreadyExists, InUse, ReadOnly, IdempotencyConflict, `port.PreconditionFailed` and StoreUnavailable.
    """

    @property
    def read_only(self) -> str | None:
        """Why resources cannot be written (`they come from /etc/bgpsvc.yaml`), None if they can."""

    def resource(self, kind: str, name: str) -> ResourceView: ...

    def resources(self, kind: str, after: str | None, limit: int) -> Listing:
        """`ResourceView`s by name, those behind `after`. Costs what the page costs, not what the list does.

        Raises KeyError for an unknown kind.
        """

    async def create(self, kind: str, document: Document, options: WriteOptions, actor: Actor) -> Written: ...

    async def replace(
        self, kind: str, name: str, document: Document, options: WriteOptions, actor: Actor
    ) -> Written:
        """The document becomes the resource. What it leaves out gets its default; a pre-shared key that it
        leaves out, or any secret given as the mask, stays."""

    async def patch(
        self, kind: str, name: str, patch: Document, options: WriteOptions, actor: Actor
    ) -> Written:
        """A merge patch (RFC 7396)."""

    async def delete(self, kind: str, name: str, options: WriteOptions, actor: Actor) -> Written: ...

    def configuration(self) -> Document:
        """All resources as one document in the form of the configuration file, secrets masked."""

    def configuration_etag(self) -> str:
        """Changes with every write of any resource. Cheap: it's asked for with every read and bulk write."""

    async def apply(self, document: Document, prune: bool, options: WriteOptions, actor: Actor) -> Written:
        """Create and update all that the document has, in one transaction; `prune` deletes the rest.

        `options.etag` is compared with `configuration_etag`, here and in `remove`."""

    async def remove(self, document: Document, options: WriteOptions, actor: Actor) -> Written:
        """Delete all that the document names, in one transaction; what is not there is left out."""

    async def reveal(self, kind: str, name: str, actor: Actor) -> Mapping[str, str]:
        """The secrets of a resource by pointer. Audited before they are returned."""

    async def peer_facts(
        self, connection: str, platform: str, networks: Sequence[Any], secrets: bool, actor: Actor
    ) -> Any:
        """`peerconfig.facts.PeerFacts` of a VPN connection: what its other side must be told.

        `networks` are prefixes that lie behind that side, beside those that the resources name. With
        `secrets` keys and passwords stand in clear, and who asked, for which `platform`, is audited first
        as `reveal`."""

    # Accounts -------------------------------------------------------------------------------------------

    async def authenticate(self, token: str, source: str) -> Actor | None:
        """Whose token that is; None if it is unknown, wrong, expired or revoked.

        Audits nothing: the API decides which failures `record` gets to see, so that none floods the log.
        """

    async def record(
        self,
        action: str,
        kind: str | None,
        name: str | None,
        old: Document | None,
        new: Document | None,
        actor: Actor,
    ) -> None:
        """Adds an entry to the audit log for what goes past all writes: `authentication.failed`. Raises
        StoreUnavailable."""

    async def tokens(self, after: str | None, limit: int) -> Listing:
        """`TokenView`s by id, revoked ones included."""

    async def token(self, ident: str) -> TokenView: ...

    def token_expiries(self) -> Mapping[str, TokenExpiry]:
        """By id, of those that will expire, are not revoked, and were used lately: asks no database."""

    async def create_token(
        self, name: str, scope: Scope, expires_at: float | None, actor: Actor
    ) -> NewToken: ...

    async def revoke_token(self, ident: str, actor: Actor) -> TokenView: ...

    async def audit(
        self, before: int | None, limit: int, kind: str | None, name: str | None, actor: str | None
    ) -> tuple[AuditView, ...]:
        """Entries with an id below `before`, newest first."""

    async def rotate_key(self, actor: Actor) -> int:
        """Make a new key for secrets at rest and encrypt all anew; returns how many there are."""

    def secret_count(self) -> int:
        """How many secrets `rotate_key` would encrypt anew."""

    # Questions ------------------------------------------------------------------------------------------

    async def explain(self, gateway: str, prefix: str) -> Any:
        """`explanation.Explanation` of a prefix (or of the longest match of an address)."""

    async def simulate(self, gateway: str, question: Any) -> Any:
        """`simulation.Outcome` of a `simulation.Question`."""
