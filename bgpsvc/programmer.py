"""The programmer: brings the kernel to what the FIB desires, nexthops and groups before everything else.

Groups decide where traffic goes, so they are set at once, in the event loop, whatever is on its way. Routes
follow a batch at a time, sent by a thread of their own: the kernel works, some microseconds for each, while
the engine takes in the next ones. One batch is under way at most, and the mirror moves when it is back.
What others delete meanwhile is remembered by the FIB (`Fib.begin`), as nobody knows which came first.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from bgpsvc.effects import Log
from bgpsvc.fib.ops import DeleteRoutes, Op, OpError, SetRoutes, TableRoutes
from bgpsvc.fib.plan import Fib
from bgpsvc.fib.port import KernelPort
from bgpsvc.metrics import FibCounters
from bgpsvc.model import format_prefix

ROUTES_PER_BATCH = 4000
"""Routes that one batch may touch: some ten milliseconds of the kernel's time, a few of the loop's."""
RETRY_INTERVAL = 5.0
"""Seconds between attempts at operations that the kernel refused."""
_COUNTED_AT_ONCE = 20_000

T = TypeVar("T")

_KINDS = {
    "SetNexthop": "set_nexthop",
    "SetGroup": "set_group",
    "DeleteNexthop": "delete_nexthop",
    "SetRoutes": "set_route",
    "DeleteRoutes": "delete_route",
}


class Programmer:
    """Brings one kernel to one FIB. `found` hears of all routes whenever they were read."""

    def __init__(
        self,
        kernel: KernelPort,
        fib: Fib,
        note: Callable[[Log], None],
        found: Callable[[Mapping[int, TableRoutes]], None],
    ) -> None:
        self._kernel = kernel
        self._fib = fib
        self._note = note
        self._found = found
        self.counters = FibCounters()
        self._due = asyncio.Event()
        self._moved = asyncio.Event()
        """Set, and made anew, whenever the kernel was given something."""
        self._retry_at: float | None = None
        self._reload_at: float | None = None
        """When to read the kernel's state again: after it could not be reached, or told too much."""
        self._reload_why: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="routes")

    def close(self) -> None:
        """Wait for the batch that is under way: when `run` is cancelled, before the kernel is closed."""
        self._thread.shutdown(cancel_futures=True)

    # What others call -------------------------------------------------------------------------

    def switch(self) -> None:
        """Give the kernel nexthops and groups now, and routes soon."""
        if self._reload_at is None:
            began = time.monotonic()
            if self._give(self._fib.plan_ids()):
                self.counters.switches.observe(time.monotonic() - began)
        self._due.set()

    def wake(self) -> None:
        """Something waits in the FIB."""
        self._due.set()

    def reload(self, why: str) -> None:
        """Read the kernel's state again, as the mirror cannot be right."""
        self._reload_why = why
        self._reload_at = time.monotonic()
        self._due.set()

    async def moved(self) -> None:
        """Wait until the kernel was given something."""
        await self._moved.wait()

    async def load(self) -> None:
        """Take over what the kernel holds. Not beside `run`. OSError."""
        self._fib.begin()
        try:
            tables, uses = await self._in_thread(self._read)
        except BaseException:
            self._fib.end(())
            raise
        self._fib.load(self._kernel.nexthops(), tables, uses)
        self._found(tables)

    def repaired(self, routes: int, text: str) -> None:
        """Something in the kernel was not as it should be, and is put right."""
        self.counters.repairs += routes
        self._note(Log("fib.repair", "warning", "fib", text, {"routes": routes}))

    # Work -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Raises what it cannot go on after."""
        while True:
            self._due.clear()
            now = time.monotonic()
            if self._retry_at is not None and now >= self._retry_at:
                self._retry_at = None
                self._fib.retry()
            if self._reload_at is not None and now >= self._reload_at:
                await self._load_again()
            self.switch()
            if await self._step():
                continue
            self._due.clear()
            if self._fib.queued and self._reload_at is None:
                continue  # something came while this looked
            times = [t for t in (self._retry_at, self._reload_at) if t is not None]
            try:
                async with asyncio.timeout(max(0.0, min(times) - time.monotonic()) if times else None):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _step(self) -> bool:
        """One batch; False if there is nothing to do now."""
        if self._reload_at is not None:
            return False
        ops = self._fib.plan_routes(ROUTES_PER_BATCH)
        if ops:
            await self._send(ops)
            return True
        if self._fib.queued:  # these were right already
            await asyncio.sleep(0)
            return True
        return self._give(self._fib.plan_garbage())

    async def _send(self, ops: Sequence[SetRoutes | DeleteRoutes]) -> None:
        self._fib.begin()
        try:
            errors = await self._in_thread(lambda: self._kernel.apply_routes(ops))
        except OSError as error:
            self._failed(ops, error)
            self._fib.end(())
            return
        self._take_in(ops, errors)
        self._fib.end(ops)

    def _give(self, ops: Sequence[Op]) -> bool:
        if not ops:
            return False
        try:
            errors = self._kernel.apply(ops)
        except OSError as error:
            self._failed(ops, error)
            return False
        self._take_in(ops, errors)
        return True

    def _failed(self, ops: Sequence[Op], error: OSError) -> None:
        # Nothing is known of what arrived: look at all of it again, after what the kernel holds.
        self._fib.failed_to_send(ops)
        self._note(Log("fib.error", "error", "fib", f"the kernel could not be reached: {error}"))
        self._reload_at = time.monotonic() + RETRY_INTERVAL

    def _take_in(self, ops: Sequence[Op], errors: Sequence[OpError]) -> None:
        self._fib.applied(ops, errors)
        for op in ops:
            count = len(op.prefixes) if isinstance(op, SetRoutes | DeleteRoutes) else 1
            self.counters.count(_kind(op), count)
        if any(error.errno in (errno.ENOENT, errno.EINVAL) for error in errors):
            # Something that the mirror believed in is gone, and its notification still on its way.
            self.repaired(self._fib.verify(self._kernel.nexthops()), "nexthops went with a device")
        if errors:
            self._on_errors(errors)
        self._moved.set()
        self._moved = asyncio.Event()

    def _on_errors(self, errors: Sequence[OpError]) -> None:
        for error in errors:
            self.counters.fail(_kind(error.op))
        first = errors[0]
        what = format_prefix(first.prefix) if first.prefix is not None else _kind(first.op)
        text = f"the kernel refused {len(errors)} operations, the first ({what}): {first.text}"
        self._note(Log("fib.error", "error", "fib", text, {"errors": len(errors), "errno": first.errno}))
        if self._retry_at is None:
            self._retry_at = time.monotonic() + RETRY_INTERVAL

    # Reading ----------------------------------------------------------------------------------

    async def _load_again(self) -> None:
        why, self._reload_why, self._reload_at = self._reload_why, None, None
        self.switch()  # what was to move meanwhile does not wait for a million routes to be read
        try:
            await self.load()
        except OSError as error:
            self._note(Log("fib.error", "error", "fib", f"the kernel's state could not be read: {error}"))
            self._reload_why, self._reload_at = why, time.monotonic() + RETRY_INTERVAL
            return
        if why is not None:
            self.repaired(0, why)

    def _read(self) -> tuple[dict[int, TableRoutes], Counter[int]]:
        """All routes of ours, and how many use each id; in pieces between which the loop may run."""
        tables = self._kernel.all_routes()
        uses: Counter[int] = Counter()
        for routes in tables.values():
            for idents in (found.values() for found in routes.values()):
                rest = iter(idents)
                while piece := list(islice(rest, _COUNTED_AT_ONCE)):
                    uses.update(piece)
        return tables, uses

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _kind(op: Op) -> str:
    return _KINDS[type(op).__name__]
