"""A guard as the daemon sees it: somebody on the socket in the state directory, who says what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path

from bgpsvc.guard.messages import PROTOCOL, pack, unpack
from bgpsvc.guard.model import Hello, Plan, Quit, ToDaemon, ToGuard, Watch
from bgpsvc.guard.server import SOCKET


class FakeGuard:
    """Listens from the start. `watch` and `groups` are what it was told, as a guard would have it.

    On `Quit` it closes its socket, as a guard's end does.
    """

    def __init__(self, state_dir: Path, hello: ToDaemon | None = None) -> None:
        self.heard: list[ToGuard] = []
        self.watch: Watch | None = None
        self.groups: dict[int, tuple[tuple[int, bool], ...]] = {}
        """Group to its nexthops and whether each is usable."""
        self.connections = 0
        self.hello = hello or greeting()
        self.quiet = False
        """Accepts connections and says nothing, as one that hangs."""
        self.nonsense = b""
        """Said in place of the greeting."""
        self._path = state_dir / SOCKET
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._path.unlink(missing_ok=True)
        self._listener.bind(str(self._path))
        self._listener.listen(100)
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._accept())

    def say(self, *messages: ToDaemon) -> None:
        """Tell the daemon something; nothing if it is not connected."""
        if self._writer is not None:
            self._writer.write(b"".join(map(pack, messages)))

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Wait until something holds of what was heard."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not in {seconds} s: {what}; heard {str(self.heard[-5:])[:2000]}") from None

    def drop(self) -> None:
        """Close the connection, as when a worker ended and the keeper has another one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def close(self) -> None:
        """Be gone."""
        self._listener.close()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            reader, writer = await asyncio.open_unix_connection(sock=sock)
            self.drop()
            self._writer = writer
            self.connections += 1
            if self.nonsense:
                writer.write(self.nonsense)
            elif not self.quiet:
                self.say(self.hello)
            self._spawn(self._read(reader))
            self._changed.set()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        reader._limit = 1 << 26  # type: ignore[attr-defined]  # lines of a whole plan
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                message = unpack(line)
                assert isinstance(message, Watch | Plan | Quit)
                self.heard.append(message)
                self._obey(message)
                self._changed.set()

    def _obey(self, message: ToGuard) -> None:
        match message:
            case Watch():
                self.watch = message
            case Plan():
                if message.whole:
                    self.groups.clear()
                for group in message.gone:
                    self.groups.pop(group, None)
                for one in message.groups:
                    self.groups[one.group] = tuple((c.nexthop, c.usable) for c in one.candidates)
            case Quit():
                self._listener.close()
                self.drop()


def greeting(pid: int = 0, keeper: int = 0, protocol: int = PROTOCOL, takeovers: int = 0) -> Hello:
    """What a guard says first."""
    return Hello(protocol, pid or os.getpid(), keeper or os.getpid(), 1.0, (4711,), None, takeovers)
