"""A recording of what sessions say, beside everything else (`serve --mrt-dir`).

The tap only notes events down. A task of the event loop makes records of them, some milliseconds at a time,
and has a thread write them. Whatever the disk does, the gateway goes on: events wait while it refuses or
hangs, and when so many wait that memory would be at stake those that come are left out, which is told and
counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bgpsvc.effects import Log
from bgpsvc.events import Announced, SessionDown, SessionResync, SessionUp, Withdrawn
from bgpsvc.model import SessionId
from bgpsvc.mrt.codec import Ends
from bgpsvc.mrt.disk import Disk
from bgpsvc.mrt.files import Directory
from bgpsvc.mrt.recorder import Recorder, SessionEvent

TURN = 0.002
"""Seconds of making records before others have their turn."""
CHUNK = 1024 * 1024
"""Bytes that are written at once, about."""
MOST_WAITING = 2_000_000
"""Prefixes of events that wait. Most of them are the RIB's own, so they cost their place in a list."""
RETRY = 10.0
"""Seconds until a disk that refused is tried again, and after which one that does not answer is told of."""
LAST_SECONDS = 2.0
"""How long a stop waits for the disk."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Figures:
    """What was recorded since the daemon started. `problem`: why nothing is, None if all is well."""

    written_bytes: int = 0
    failures: int = 0
    lost_events: int = 0
    waiting_prefixes: int = 0
    problem: str | None = None


class Recording:
    """Observes sessions and writes files of `interval` seconds, which end at multiples of it (UTC).

    The directory is open already. `ends` tells both ends of a session, None of one that is not configured.
    """

    def __init__(
        self,
        directory: Directory,
        interval: float,
        ends: Callable[[SessionId], Ends | None],
        note: Callable[[Log], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.figures = Figures()
        self._directory = directory
        self._interval = interval
        self._ends = ends
        self._note = note
        self._clock = clock
        self._waiting: deque[tuple[float, SessionEvent, Ends | None, int]] = deque()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._recorder = Recorder()
        self._records = self._make_records()
        self._disk = Disk("mrt")
        self._made = b""
        """Records that are not on the disk yet."""
        self._losing = False
        self._given_up = False
        self._over_at = 0.0
        """When the file that is open is over, in Unix seconds."""
        self._task: asyncio.Task[None] | None = None

    # What the tap tells ----------------------------------------------------------------------

    def heard(self, events: Sequence[SessionEvent], at: float) -> None:
        """Notes events down (`bgpsvc.tap.SessionObserver`)."""
        if self._task is None or self._task.done():
            return
        for event in events:
            size = 1 + (len(event.prefixes) if isinstance(event, Announced | Withdrawn) else 0)
            # What says of a session that it came or went is not much, and the rest has no meaning without it.
            if size > 1 and self.figures.waiting_prefixes + size > MOST_WAITING:
                self._lose()
                continue
            ends = self._ends(event.session) if isinstance(event, SessionUp | SessionResync) else None
            self._waiting.append((at, event, ends, size))
            self.figures.waiting_prefixes += size
        self._wake.set()

    def dropped(self) -> None:
        """The tap tells nothing more (`bgpsvc.tap.SessionObserver`): what was heard is the last of it."""
        self._give_up()
        self._wake.set()

    def _lose(self) -> None:
        self.figures.lost_events += 1
        if not self._losing:
            self._losing = True
            text = "events are left out of the recording: the disk does not take them as fast as they come"
            self._note(Log("recording.failed", "error", "recording", text))

    # Life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """In the running loop. What the tap tells before is not heard."""
        self._task = asyncio.create_task(self._run(), name="recording")
        self._task.add_done_callback(self._ended)

    async def stop(self, ended: Iterable[SessionId]) -> None:
        """Write what was heard and finish the file, if the disk does it soon. `ended` end with the daemon."""
        self.heard([SessionDown(session, "the daemon stops") for session in ended], self._clock())
        self._stopping.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=LAST_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._disk.close()

    async def _run(self) -> None:
        while not self._over or self._waiting or self._made:
            await self._something()
            try:
                await self._step()
            except OSError as error:
                self._failed(error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), RETRY)
                if self._stopping.is_set():
                    break
            else:
                self._worked()
        with suppress(OSError):  # the next start finishes what is left
            await self._on_disk(self._directory.close)

    @property
    def _over(self) -> bool:
        """Nothing comes any more."""
        return self._given_up or self._stopping.is_set()

    async def _something(self) -> None:
        """Until there is something to do: records to write, a file that is over, the end."""
        while not (self._waiting or self._made or self._over):
            self._wake.clear()
            left = self._over_at - self._clock() if self._directory.writing else None
            if left is not None and left <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    async def _step(self) -> None:
        """Make some records and have them written. OSError."""
        if not self._made:
            self._made = await self._make()
        now = self._clock()
        over = not self._over_at - self._interval <= now < self._over_at  # clocks go back, too
        if self._directory.writing and (over or self._directory.full):
            await self._on_disk(self._directory.finish)
        if not self._made:
            return
        if not self._directory.writing:
            self._over_at = (now // self._interval + 1) * self._interval
        made = self._made
        await self._on_disk(lambda: self._directory.write(made, now))
        self._made = b""
        self.figures.written_bytes += len(made)

    async def _on_disk(self, work: Callable[[], None]) -> None:
        done = self._disk.do(work)
        await asyncio.wait([done], timeout=RETRY)
        if not done.done():
            self._failed(TimeoutError("the disk does not answer"))
        await done

    async def _make(self) -> bytes:
        parts: list[bytes] = []
        size, ends = 0, time.perf_counter() + TURN
        while size < CHUNK and (record := next(self._records)):
            parts.append(record)
            size += len(record)
            if time.perf_counter() >= ends:
                await asyncio.sleep(0)
                ends = time.perf_counter() + TURN
        return b"".join(parts)

    def _make_records(self) -> Iterator[bytes]:
        """Without end; nothing while nothing waits."""
        while True:
            while self._waiting:
                at, event, ends, size = self._waiting[0]
                yield from self._recorder.records(at, event, ends)
                self._waiting.popleft()
                self.figures.waiting_prefixes -= size
            yield b""

    # What became of it -----------------------------------------------------------------------

    def _failed(self, error: OSError) -> None:
        self.figures.failures += 1
        said = error.strerror or str(error)
        if self.figures.problem is None:
            text = f"nothing is recorded in {self._directory.path}: {said}"
            self._note(Log("recording.failed", "error", "recording", text))
        if not self._given_up:
            self.figures.problem = said

    def _worked(self) -> None:
        if self._given_up:
            return  # the disk takes what was heard before: no sign that anything is heard
        if self.figures.problem is not None:
            self.figures.problem = None
            self._note(Log("recording.resumed", "info", "recording", "the disk takes records again"))
        if self._losing and self.figures.waiting_prefixes < MOST_WAITING // 2:
            self._losing = False
            text = f"all events are recorded again; {self.figures.lost_events} were left out since the start"
            self._note(Log("recording.resumed", "info", "recording", text))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever is wrong with the recording, routing goes on."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the recording has ended", exc_info=error)
            self._give_up()

    def _give_up(self) -> None:
        self._given_up = True
        self.figures.problem = "a mistake of the daemon's, see its log"
        text = f"nothing is recorded until the daemon starts again: {self.figures.problem}"
        self._note(Log("recording.failed", "error", "recording", text))
