"""API tokens: made, shown once, looked up, revoked. Their secrets are only kept as digests."""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from bgpsvc.control import Actor, Listing, NewToken, Scope, StoreUnavailable, TokenExpiry, TokenView
from bgpsvc.port import NotFound
from bgpsvc.store.accounts import make_token, matches, parse_token
from bgpsvc.store.database import Store
from bgpsvc.store.records import AuditEntry, StoredToken

REMEMBERED = 10_000
"""Tokens that are kept in memory."""
USE_NOTED_EVERY = 60.0
"""Seconds between notes of a token's last use."""

log = logging.getLogger("bgpsvc")


class Accounts:
    """Tokens of one database, of which this process is the only writer."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, StoredToken] = OrderedDict()

    async def authenticate(self, text: str, source: str) -> Actor | None:
        """Whose token that is, None if it is not valid (any more). Raises StoreUnavailable."""
        parsed = parse_token(text)
        token = await self._find(parsed[0]) if parsed is not None else None
        now = self._clock()
        if parsed is None or token is None or not matches(token.digest, parsed[1]):
            return None
        if token.revoked_at is not None or (token.expires_at is not None and now >= token.expires_at):
            return None
        await self._used(token, now)
        return Actor(f"token {token.id} ({token.name})", Scope(token.scope), source, token.id)

    async def _find(self, ident: str) -> StoredToken | None:
        found = self._known.get(ident)
        if found is None:
            found = await self._store.token(ident)
            # What was learned meanwhile is newer than what was read: it may have been revoked.
            found = self._known.get(ident, found)
            if found is not None:
                self._remember(found)
        return found

    def _remember(self, token: StoredToken) -> None:
        self._known[token.id] = token
        self._known.move_to_end(token.id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _used(self, token: StoredToken, now: float) -> None:
        if token.last_used_at is not None and now - token.last_used_at < USE_NOTED_EVERY:
            return
        self._remember(replace(token, last_used_at=now))
        try:
            await self._store.touch_token(token.id, now)
        except StoreUnavailable as error:
            # Who is known may go on without the database: only the time of the last use is lost.
            log.warning("the last use of token %s is not stored: %s", token.id, error)

    def expiries(self) -> dict[str, TokenExpiry]:
        """When tokens will expire, of those that are remembered, and were used."""
        now = self._clock()
        return {
            token.id: TokenExpiry(token.name, token.created_at, token.expires_at)
            for token in self._known.values()
            if token.expires_at is not None and now < token.expires_at
            if token.revoked_at is None and token.last_used_at is not None
        }

    async def page(self, after: str | None, limit: int) -> Listing:
        """Tokens by id, those behind `after`."""
        found = await self._store.tokens(after, limit + 1)
        page = tuple(_view(token) for token in found[:limit])
        return Listing(page, page[-1].id if len(found) > limit else None)

    async def create(self, name: str, scope: Scope, expires_at: float | None, actor: Actor) -> NewToken:
        """Make a token."""
        text, ident, digest = make_token(secrets.token_bytes)
        now = self._clock()
        token = StoredToken(ident, name, scope.value, digest, now, expires_at)
        view = _view(token)
        entry = AuditEntry(
            now,
            actor.name,
            actor.source,
            "token.create",
            "tokens",
            ident,
            None,
            {"name": name, "scope": scope.value, "expires_at": expires_at},
        )
        await self._store.add_token(token, entry)
        self._remember(token)
        return NewToken(view, text)

    async def revoke(self, ident: str, actor: Actor) -> TokenView:
        """End a token at once; the same again changes nothing. NotFound."""
        token = await self._find(ident)
        if token is None:
            raise NotFound("token", ident)
        if token.revoked_at is None:
            now = self._clock()
            old = {"name": token.name, "scope": token.scope}
            entry = AuditEntry(now, actor.name, actor.source, "token.revoke", "tokens", ident, old, None)
            try:
                await self._store.revoke_token(ident, now, entry)
            except StoreUnavailable:
                # Whether it was stored may be unknown: whoever shows the token next is looked up again.
                self._known.pop(ident, None)
                raise
            token = replace(token, revoked_at=now)
            self._remember(token)
        return _view(token)

    async def view(self, ident: str) -> TokenView:
        """One token. NotFound."""
        token = await self._find(ident)
        if token is None:
            raise NotFound("token", ident)
        return _view(token)


def _view(token: StoredToken) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        scope=Scope(token.scope),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )
