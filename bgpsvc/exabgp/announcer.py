"""Brings what ExaBGP announces (its Adj-RIB-Out) to what is desired, on all sessions of one speaker.

What ExaBGP has is remembered. After a doubt (commands failed, a new connection, an adopted speaker)
it is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bgpsvc.events import Advertisement, Negotiated
from bgpsvc.exabgp.advertise import AdjRibOut
from bgpsvc.exabgp.channel import ChannelClosed
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.dialogue import Dialogue, NoAnswer
from bgpsvc.model import Family, Prefix, Role, SessionId

RETRY_AFTER_ERROR = 1.0
COMMANDS_IN_FLIGHT = 40
END_OF_RIB_PATIENCE = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _EndOfRib:
    """To be sent: at the latest at `deadline` (monotonic), of these families."""

    deadline: float
    families: tuple[Family, ...]


class Announcer:
    """`paused` is held while commands are sent; whoever takes it keeps the announcements still."""

    def __init__(self, role: Role, dialogue: Dialogue) -> None:
        self.paused = asyncio.Lock()
        self._role = role
        self._dialogue = dialogue
        self._out: dict[SessionId, AdjRibOut] = {}
        self._end_of_rib: dict[SessionId, _EndOfRib] = {}
        self._changed = asyncio.Event()
        self._doubtful = False

    def set_sessions(self, sessions: Mapping[SessionId, SpeakerSession]) -> None:
        """The configured sessions; what is announced on those that stay is kept."""
        outs = {}
        for name, session in sessions.items():
            out = self._out.get(name)
            if out is None:
                out = AdjRibOut(session)
            out.session = session
            outs[name] = out
        self._out = outs
        self.ended(self._end_of_rib.keys() - sessions.keys())

    def advertise(self, session: SessionId, routes: Mapping[Prefix, Advertisement]) -> None:
        """Make this the whole set of prefixes that is announced on a session. KeyError if there is none."""
        self._out[session].desired = dict(routes)
        self._changed.set()

    def established(self, session: SessionId, negotiated: Negotiated) -> None:
        """The peer waits for our routes and for their end (RFC 4724 2)."""
        self._end_of_rib[session] = _EndOfRib(time.monotonic() + END_OF_RIB_PATIENCE, negotiated.families)
        self._changed.set()
        asyncio.get_running_loop().call_later(END_OF_RIB_PATIENCE, self._changed.set)

    def ended(self, sessions: Collection[SessionId]) -> None:
        """These sessions are not Established any more, or not known to be."""
        for session in sessions:
            self._end_of_rib.pop(session, None)

    def look(self) -> None:
        """Something may have changed: see what there is to send."""
        self._changed.set()

    def doubt(self) -> None:
        """It is not certain any more what ExaBGP has: ask before anything is sent."""
        self._doubtful = True
        self._changed.set()

    async def list_routes(self, certain: bool) -> None:
        """Ask what ExaBGP announces; unless `certain`, commands may be lost. The caller holds `paused`."""
        listed = await self._dialogue.routes()
        for out in self._out.values():
            out.listed(listed.pop(out.session.addresses, set()), certain)

    async def run(self) -> None:
        """Whenever something is desired that ExaBGP hasn't got: bring it there."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                async with self.paused:
                    if self._doubtful:
                        await self.list_routes(certain=False)
                        self._doubtful = False
                    failed = await self._push()
            except ChannelClosed:
                # The next connection asks what arrived.
                continue
            except NoAnswer as error:
                log.warning("the %s speaker: %s", self._role.value, error)
            else:
                if not failed:
                    continue
                log.error("%d commands failed at the %s speaker, see its log", failed, self._role.value)
            await asyncio.sleep(RETRY_AFTER_ERROR)
            self.doubt()

    async def _push(self) -> int:
        """Send what differs, a limited number of commands at a time; the number of those that failed."""
        failed = 0
        for out in list(self._out.values()):
            pending = False
            for count, (command, prefixes, advertisement) in enumerate(list(out.changes()), 1):
                await self._dialogue.send([command])
                out.done(prefixes, advertisement)
                pending = True
                if count % COMMANDS_IN_FLIGHT == 0:
                    failed += await self._dialogue.mark()
                    pending = False
            if pending:
                failed += await self._dialogue.mark()
            await self._send_end_of_rib(out)
        return failed

    async def _send_end_of_rib(self, out: AdjRibOut) -> None:
        """RFC 4724 2: once per session, behind all routes; a peer that kept our old ones drops the rest then.

        What shall be announced may come late after a start, so it is waited for, but not for ever: peers
        wait for us meanwhile.
        """
        due = self._end_of_rib.get(out.session.id)
        if due is None or (out.desired is None and time.monotonic() < due.deadline):
            return
        del self._end_of_rib[out.session.id]
        local, peer = out.session.addresses
        await self._dialogue.send(
            f"neighbor {peer} local-ip {local} announce eor {family.label} unicast" for family in due.families
        )
