"""A process that holds a tunnel driver in a namespace: called by a test, killed if the test wants to.

`python -m tests.netns.ipsec.node STATE_DIR` reads calls from standard input and writes answers and signals to
standard output, both pickled. The driver's methods are called by name, and `dismantle`; what they raise is
answered too.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from bgpsvc.ipsec.leftovers import dismantle
from bgpsvc.ipsec.model import IkeSa, IpsecTunnel
from bgpsvc.ipsec.port import CharonUp, Made, SaChanged, Signal
from bgpsvc.ipsec.userspace import Userspace
from bgpsvc.model import SessionId
from tests.netns.namespaces import Namespace, wait_until

SLOW = 60
"""Seconds that a busy machine may need for what takes one."""


async def serve(state_dir: Path, calls: BinaryIO, answers: BinaryIO) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()

    def say(kind: str, number: int, value: object) -> None:
        pickle.dump((kind, number, value), answers)
        answers.flush()

    driver = Userspace(state_dir, lambda signal: say("signal", 0, signal))

    async def work(number: int, method: str, arguments: Sequence[Any]) -> None:
        try:
            called = partial(dismantle, state_dir) if method == "dismantle" else getattr(driver, method)
            say("result", number, await called(*arguments))
        except Exception as error:  # noqa: BLE001  # the test judges it
            say("error", number, f"{type(error).__name__}: {error}")

    working: set[asyncio.Task[None]] = set()
    while True:
        try:
            call = await loop.run_in_executor(None, pickle.load, calls)
        except EOFError:
            return
        task = asyncio.create_task(work(*call))
        working.add(task)
        task.add_done_callback(working.discard)


class CallFailed(Exception):
    """A method of the driver raised this."""


class Node:
    """A namespace with a driver in it. `signals` are all that it gave so far, in order."""

    def __init__(self, namespace: Namespace, state_dir: Path, wrapper: Sequence[str] = ()) -> None:
        """`wrapper`: a command line that runs the one that follows it."""
        self.namespace = namespace
        self.state_dir = state_dir
        self._wrapper = wrapper
        self.signals: list[Signal] = []
        self._answers: dict[int, tuple[str, Any]] = {}
        self._number = 0
        self._start()

    def _start(self) -> None:
        program = (*self._wrapper, sys.executable, "-m", __name__, str(self.state_dir))
        command = self.namespace.command(*program)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.state_dir.parent / f"{self.state_dir.name}.log").open("ab"),
        )
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, answers: BinaryIO) -> None:
        while True:
            try:
                kind, number, value = pickle.load(answers)
            except (EOFError, ValueError, pickle.UnpicklingError):
                return
            if kind == "signal":
                self.signals.append(value)
            else:
                self._answers[number] = (kind, value)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the driver; its result. CallFailed if it raised something."""
        self._number += 1
        assert self.process.stdin is not None
        pickle.dump((self._number, method, arguments), self.process.stdin)
        self.process.stdin.flush()
        wait_until(lambda: self._number in self._answers or self.process.poll() is not None, method, 2 * SLOW)
        kind, value = self._answers.pop(self._number, ("error", "the driver's process ended"))
        if kind == "error":
            raise CallFailed(value)
        return value

    def bring_up(self, tunnel: IpsecTunnel) -> Made:
        """Call `Driver.bring_up`."""
        made = self.call("bring_up", tunnel)
        assert isinstance(made, Made)
        return made

    def sas(self, tunnel: SessionId) -> tuple[IkeSa, ...]:
        """The SAs of a tunnel."""
        found: tuple[IkeSa, ...] = self.call("sas").get(tunnel, ())
        return found

    def wait_for(self, wished: Callable[[Signal], bool], what: str, since: int = 0) -> Signal:
        """The first signal of a kind, of those after the first `since`."""
        wait_until(lambda: any(wished(signal) for signal in self.signals[since:]), what, SLOW)
        return next(signal for signal in self.signals[since:] if wished(signal))

    def wait_established(self, tunnel: SessionId, since: int = 0) -> None:
        """Until a child SA of the tunnel came up."""
        self.wait_for(
            lambda s: isinstance(s, SaChanged) and s.tunnel == tunnel and s.what == "child" and s.up,
            f"a child SA of {tunnel}",
            since,
        )

    def wait_charon(self, tunnel: SessionId, since: int = 0) -> None:
        """Until charon of the tunnel answers."""
        self.wait_for(lambda s: isinstance(s, CharonUp) and tunnel in s.tunnels, "charon answers", since)

    def kill(self) -> None:
        """End the driver's process by force; its charons go on. Idempotent."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def restart(self) -> None:
        """Kill the driver's process and start another one on the same state."""
        self.kill()
        self._start()

    def close(self) -> None:
        """Take everything down and end the process, whatever state the test left it in."""
        if self.process.poll() is not None:
            self.kill()
            self._start()
            self.call("start", ())
        try:
            self.call("stop", False)
        finally:
            self.kill()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(serve(Path(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer))
