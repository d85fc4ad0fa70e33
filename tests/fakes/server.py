"""The real API server on a loopback port (or a unix socket), in a thread, around a fake service."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from api.app import create_app
from api.limits import Limits
from api.server import ApiServer, Listen
from api.tls import Tls
from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService

T = TypeVar("T")
DEADLINE = 10.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition; AssertionError after the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {DEADLINE:g} s"
        time.sleep(0.005)


class RunningApi:
    """Context manager: the API is served while inside. The service is touched through `call` only.

    Whoever asks without a token may do what `anonymous` says.
    """

    def __init__(
        self,
        service: FakeService | None = None,
        listen: Listen | None = None,
        anonymous: Scope | None = Scope.ADMIN,
        limits: Limits | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.service = service or FakeService()
        self.control = FakeControl(self.service)
        self._app = create_app(
            self.service,
            self.control,
            version="0.1.0",
            anonymous=anonymous,
            limits=limits or Limits(),
            keep_alive=0.05,
        )
        self.server = ApiServer(self._app, listen or Listen(), tls=tls)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self.server.serve())
        finally:
            self._loop.close()

    @property
    def url(self) -> str:
        """What `--server` takes."""
        return self.server.address

    def call(self, change: Callable[[FakeService], object]) -> None:
        """Changes the service in its own loop and wakes the event streams."""

        async def changed() -> None:
            change(self.service)
            await self.service.wake()

        self.run(changed())

    def reset(self) -> None:
        """A service in its first state, for the next test."""
        self.service = self._app.state.service = FakeService()
        self.control = self._app.state.control = FakeControl(self.service)
        self._app.state.access.control = self.control

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def stop(self) -> float:
        """Stops the server as `serve` does; the seconds that took."""
        begin = time.monotonic()
        self.server.should_exit = True
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the server does not stop"
        return time.monotonic() - begin

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.server.started, "start of the server")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
