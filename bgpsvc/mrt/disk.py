"""A thread for what may wait for a disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue


class Disk:
    """Does one thing after the other in a thread of its own, which keeps no process from ending.

    A thread of `asyncio.to_thread` would: a disk that never answers then holds the daemon's stop up.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """Done, or failed with its OSError, when the thread has come to it. RuntimeError without a thread."""
        if not self._thread.is_alive():
            raise RuntimeError(f"the thread {self._thread.name} has ended")
        done: Future[None] = Future()
        self._jobs.put((work, done))
        return asyncio.wrap_future(done)

    def close(self) -> None:
        """The thread ends when it has done what was given to it."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _do(*job)


def _do(work: Callable[[], None], done: Future[None]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        work()
    except OSError as error:
        done.set_exception(error)
    else:
        done.set_result(None)
    finally:
        if not done.done():  # a mistake of ours: the thread ends with its traceback, nobody waits for ever
            done.set_exception(RuntimeError("the thread made a mistake"))
