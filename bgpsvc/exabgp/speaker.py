"""Both speakers of the daemon, one per tunnel role."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from bgpsvc.events import Advertisement
from bgpsvc.exabgp import relay
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.dialogue import CEASE_ADMINISTRATIVE_RESET
from bgpsvc.exabgp.failure import Failure
from bgpsvc.exabgp.refresher import RefreshOutcome
from bgpsvc.exabgp.supervise import OnEvents, Speaker, SpeakerStatus
from bgpsvc.model import Family, Prefix, Role, SessionId

LOCK = "speakers.lock"


class StateDirInUse(RuntimeError):
    """Another daemon uses the state directory."""


class Speakers:
    """Supervises the two ExaBGP processes and speaks for all sessions.

    `on_events` gets the events in order, in portions of about 10 ms of decoding. If it returns an
    awaitable, nothing more is read until that is done: this is how a busy consumer slows the reading
    (the relay keeps what comes meanwhile).
    """

    def __init__(
        self,
        state_dir: Path,
        on_events: OnEvents,
        clock: Callable[[], float] = time.time,
        relay_limit: int = relay.DEFAULT_LIMIT,
    ) -> None:
        self._state_dir = state_dir.absolute()
        self._failure = Failure()
        self._speakers = {
            role: Speaker(role, self._state_dir, on_events, self._failure, clock, relay_limit)
            for role in Role
        }
        self._speakers[Role.ACTIVE].predecessor = self._speakers[Role.STANDBY]
        self._role_of: dict[SessionId, Role] = {}
        self._lock = -1

    def claim(self) -> None:
        """Take the state directory for ourselves, until `release`. StateDirInUse if another daemon has it."""
        if self._lock >= 0:
            return
        self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = -1
            raise StateDirInUse(f"another daemon uses {self._state_dir}") from None

    async def start(self, sessions: Sequence[SpeakerSession]) -> None:
        """Adopt the speakers that run, start those that don't. Claims the state directory."""
        self.claim()
        self._role_of = {session.id: session.role for session in sessions}
        await asyncio.gather(*(speaker.start(sessions) for speaker in self._speakers.values()))

    async def apply(self, sessions: Sequence[SpeakerSession]) -> None:
        """Change to these sessions; only those that differ are reset.

        ReloadFailed if ExaBGP did not take them: it goes on with those before, and is asked again later.
        """
        self._role_of = {session.id: session.role for session in sessions}
        # Both to the end: a speaker that refuses must not leave the other one half way.
        results = await asyncio.gather(
            *(speaker.apply(sessions) for speaker in self._speakers.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def forget(self, ids: Collection[SessionId]) -> None:
        """The consumer made its records of these sessions anew: tell their state again, promptly.

        `SessionResync` follows for those that are Established. Unknown ids are ignored. A session that
        `apply` gives another id is treated so by itself.
        """
        await asyncio.gather(*(speaker.forget(ids) for speaker in self._speakers.values()))

    async def failed(self) -> NoReturn:
        """Waits until a task of a speaker fails, which only a defect makes happen; raises what ended it.

        That speaker's events are not read any more. An exception of `on_events` is raised here too.
        """
        await self._failure.wait()

    def advertise(self, session: SessionId, routes: Mapping[Prefix, Advertisement]) -> None:
        """Make `routes` the whole set of prefixes announced on a session, now and after every restart.

        Works in any state of the session. Until it is called for a session, what an adopted speaker
        announces there stays as it is. Prefixes of a family that the session can't carry are left out.
        KeyError if there is no such session.
        """
        self._of(session).advertise(session, routes)

    async def refresh(self, session: SessionId, family: Family | None = None) -> RefreshOutcome:
        """Ask the peer for all its routes again, of one family or all.

        Without the route refresh capability of the peer the session is reset instead. What can't be asked
        for now (`pending`: the speaker isn't connected, or was asked the same less than a second ago) waits;
        so it does if the session is `not_established`, until it is found so, goes down or comes up. KeyError
        if there is no such session.
        """
        return await self._of(session).refresh(session, family)

    async def reset(self, session: SessionId, reason: str, subcode: int = CEASE_ADMINISTRATIVE_RESET) -> None:
        """End a session with a Cease of this subcode (RFC 4486); it comes back.

        KeyError if there is no such session, ChannelClosed if the speaker isn't connected.
        """
        await self._of(session).reset(session, reason, subcode)

    def status(self) -> dict[Role, SpeakerStatus]:
        return {role: speaker.status() for role, speaker in self._speakers.items()}

    async def stop(self, keep_running: bool) -> None:
        """Within three seconds. `keep_running` leaves the speakers and their sessions to the next daemon."""
        await asyncio.gather(*(speaker.stop(keep_running) for speaker in self._speakers.values()))

    def release(self) -> None:
        """Leave the state directory to others: nothing of ours uses it any more."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _of(self, session: SessionId) -> Speaker:
        return self._speakers[self._role_of[session]]
