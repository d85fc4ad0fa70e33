"""Sends the route refreshes that are wanted (RFC 2918), as soon as each of them can be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Literal

from bgpsvc.events import Negotiated
from bgpsvc.exabgp.channel import ChannelClosed
from bgpsvc.exabgp.codec import Decoder
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.dialogue import Dialogue
from bgpsvc.exabgp.refresh import Refreshes
from bgpsvc.model import Family, SessionId

RefreshOutcome = Literal["requested", "reset", "pending", "not_established"]


class Refresher:
    """The refreshes of one speaker's sessions; knows which of these are Established, and how."""

    def __init__(self, dialogue: Dialogue, decoder: Decoder) -> None:
        self._dialogue = dialogue
        self._decoder = decoder
        self._sessions: Mapping[SessionId, SpeakerSession] = {}
        self._negotiated: dict[SessionId, Negotiated] = {}
        self._refreshes = Refreshes()
        self._due = asyncio.Event()

    def set_sessions(self, sessions: Mapping[SessionId, SpeakerSession]) -> None:
        """The configured sessions; what waits for those that stay is kept."""
        self._sessions = sessions
        self.drop((self._negotiated.keys() | set(self._refreshes.sessions())) - sessions.keys())

    def established(self, session: SessionId, negotiated: Negotiated) -> None:
        """What waits for this session can be sent now."""
        self._negotiated[session] = negotiated
        self._due.set()

    def forget(self, sessions: Collection[SessionId]) -> None:
        """It is not known whether these are Established; what waits for them goes on waiting."""
        for session in sessions:
            self._negotiated.pop(session, None)

    def drop(self, sessions: Collection[SessionId]) -> None:
        """These went down or came up: their routes come without being asked for."""
        self.forget(sessions)
        self._refreshes.drop(sessions)

    def drop_all(self) -> None:
        """The speaker ended."""
        self._negotiated.clear()
        self._refreshes.drop(self._refreshes.sessions())

    def look(self) -> None:
        """Something may be possible now that was not before."""
        self._due.set()

    async def refresh(self, session: SessionId, family: Family | None) -> RefreshOutcome:
        """Ask the peer for its routes again; a peer that can't is reset instead. KeyError if there is none.

        What can't be asked for now waits until it can, or until the session goes down or comes up.
        """
        families = tuple(Family) if family is None else (family,)
        self._refreshes.want(self._sessions[session].id, families)
        # Also if it has to wait: no end of an earlier one may pass for its end.
        self._decoder.expect_refresh(session, families)
        return await self._send(session)

    async def run(self) -> None:
        """Send what had to wait."""
        while True:
            await self._due.wait()
            self._due.clear()
            for session in self._refreshes.waiting():
                await self._send(session)

    async def _send(self, session: SessionId) -> RefreshOutcome:
        negotiated = self._negotiated.get(session)
        if negotiated is None:
            return "not_established"
        if not self._dialogue.synced:
            return "pending"
        try:
            if not negotiated.route_refresh:
                await self._dialogue.reset(self._sessions[session], "the peer has no route refresh")
                self._refreshes.drop([session])
                return "reset"
            now = time.monotonic()
            families, delay = self._refreshes.take(
                session, negotiated.families, self._decoder.counter(session), now
            )
            if delay is not None:
                asyncio.get_running_loop().call_later(delay, self._due.set)
            local, peer = self._sessions[session].addresses
            try:
                await self._dialogue.send(
                    f"neighbor {peer} local-ip {local} announce route-refresh {family.label} unicast"
                    for family in families
                )
            except ChannelClosed:
                self._refreshes.failed(session, families)
                raise
        except ChannelClosed:
            return "pending"
        return "requested" if delay is None else "pending"
