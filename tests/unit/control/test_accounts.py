"""Tokens in memory: never better than what the database has."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from bgpsvc.accounts import Accounts
from bgpsvc.control import StoreUnavailable, TokenExpiry
from bgpsvc.store.accounts import make_token
from bgpsvc.store.database import Store
from bgpsvc.store.errors import OutcomeUnknown
from bgpsvc.store.records import AuditEntry, StoredToken
from tests.unit.control.gateway import ADMIN

TEXT, IDENT, DIGEST = make_token(lambda number: bytes(number))


class Rows:
    """One token. `slow`: a look-up that has read its row waits for this before it answers."""

    def __init__(self) -> None:
        self.row = StoredToken(IDENT, "ci", "read", DIGEST, 1.0)
        self.slow: asyncio.Event | None = None
        self.read = asyncio.Event()
        self.answers = True

    async def token(self, ident: str) -> StoredToken | None:
        found, slow, self.slow = self.row, self.slow, None
        self.read.set()
        if slow is not None:
            await slow.wait()
        return found if ident == IDENT else None

    async def revoke_token(self, ident: str, at: float, audit: AuditEntry) -> StoredToken | None:
        self.row = replace(self.row, revoked_at=at)
        if not self.answers:
            raise OutcomeUnknown("the connection was lost")
        return self.row

    async def touch_token(self, ident: str, at: float) -> None:
        self.row = replace(self.row, last_used_at=at)


def test_a_look_up_that_began_before_a_revocation_does_not_undo_it() -> None:
    async def story() -> None:
        rows = Rows()
        accounts = Accounts(cast(Store, rows))
        slow = rows.slow = asyncio.Event()
        begun = asyncio.create_task(accounts.authenticate(TEXT, "192.0.2.1"))
        await rows.read.wait()
        await accounts.revoke(IDENT, ADMIN)
        slow.set()
        assert await begun is None
        assert await accounts.authenticate(TEXT, "192.0.2.1") is None

    asyncio.run(story())


def test_a_revocation_without_answer_is_looked_up() -> None:
    async def story() -> None:
        rows = Rows()
        accounts = Accounts(cast(Store, rows))
        assert await accounts.authenticate(TEXT, "192.0.2.1") is not None
        rows.answers = False
        with pytest.raises(StoreUnavailable):
            await accounts.revoke(IDENT, ADMIN)
        assert await accounts.authenticate(TEXT, "192.0.2.1") is None

    asyncio.run(story())


def test_the_end_of_a_token_is_told_from_its_first_use_to_its_end() -> None:
    async def story() -> None:
        now = 1000.0
        rows = Rows()
        rows.row = replace(rows.row, expires_at=2000.0)
        accounts = Accounts(cast(Store, rows), lambda: now)
        assert await accounts.authenticate(f"{TEXT[:-2]}BA", "192.0.2.1") is None
        assert accounts.expiries() == {}, "only its id was guessed"
        assert await accounts.authenticate(TEXT, "192.0.2.1") is not None
        assert accounts.expiries() == {IDENT: TokenExpiry("ci", 1.0, 2000.0)}
        now = 2000.0
        assert accounts.expiries() == {}

    asyncio.run(story())
