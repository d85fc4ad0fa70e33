"""A speaker with a process and a relay that the test plays: what ends it, and what does not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.events import BgpEvent, SpeakerUp
from bgpsvc.exabgp import relay
from bgpsvc.exabgp.channel import ProtocolMismatch
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.process import Paths, SpeakerProcess
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.model import Role, SessionId

T1 = SpeakerSession(
    SessionId("c1-tunnel1"), Role.ACTIVE, "169.254.10.1", "169.254.10.2", 65530, 65500, "10.0.0.1"
)
PID = 4711


class Process:
    """A process that runs until the test ends it."""

    def __init__(self) -> None:
        self.pid = PID
        self.ended = asyncio.Event()

    @property
    def running(self) -> bool:
        return not self.ended.is_set()

    async def wait(self) -> None:
        await self.ended.wait()

    async def stop(self) -> None:
        self.ended.set()

    def signal(self, number: int) -> None:
        """Nothing that is sent has an effect."""

    def exit_reason(self) -> str:
        return "ended by the test"

    def release(self) -> None:
        """There is nothing to release."""


class Relay:
    """The listening end of the channel. `accepted` are the connections of the daemon."""

    def __init__(self, path: Path, protocol: int = relay.PROTOCOL) -> None:
        self.protocol = protocol
        self.accepted: list[asyncio.StreamWriter] = []
        self.commands: list[str] = []
        self._path = path
        self._counter = 0

    async def open(self) -> asyncio.AbstractServer:
        return await asyncio.start_unix_server(self._serve, self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"#relay %d 1 %d\n" % (self.protocol, PID))
        self.accepted.append(writer)
        while line := await reader.readline():
            self.commands.append(line.decode().rstrip())

    def send(self, kind: str, content: dict[str, Any]) -> None:
        """One JSON line of the session, with the next counter."""
        self._counter += 1
        neighbor = {
            "address": {"local": "169.254.10.1", "peer": "169.254.10.2"},
            "asn": {"local": 65530, "peer": 65500},
        }
        line = {"pid": 1, "counter": self._counter, "type": kind, "neighbor": neighbor | content}
        self.accepted[-1].write(json.dumps(line).encode() + b"\n")

    def say(self, text: str) -> None:
        """A line as the launcher writes them."""
        self.accepted[-1].write(text.encode() + b"\n")


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not in 10 s: {what}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def speaking(
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_events: Callable[[Sequence[BgpEvent]], None],
    protocol: int = relay.PROTOCOL,
) -> AsyncIterator[tuple[Speakers, Relay, Process]]:
    """Speakers of which the active one runs, with its relay."""
    process = Process()

    def start(*_: object) -> Process:
        return process

    monkeypatch.setattr(SpeakerProcess, "start", start)
    speakers = Speakers(state_dir, on_events)
    speakers.claim()
    played = Relay(Paths(state_dir, Role.ACTIVE).socket, protocol)
    server = await played.open()
    try:
        await speakers.start([T1])
        yield speakers, played, process
    finally:
        await speakers.stop(keep_running=False)
        server.close()
        for writer in played.accepted:
            writer.close()


def test_an_exception_of_the_consumer_ends_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def consume(events: Sequence[BgpEvent]) -> None:
        if not any(isinstance(event, SpeakerUp) for event in events):
            raise OSError(12, "no memory in the kernel")

    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, consume) as (speakers, played, _):
            failed = asyncio.create_task(speakers.failed())
            await until(lambda: speakers.status()[Role.ACTIVE].connected, "connected")
            assert not failed.done()
            played.send("fsm", {"state": "OPENSENT"})
            with pytest.raises(OSError, match="no memory"):
                await asyncio.wait_for(failed, 10)
            assert not speakers.status()[Role.ACTIVE].connected
            # Whoever asks later hears it too.
            with pytest.raises(OSError, match="no memory"):
                await speakers.failed()

    asyncio.run(scenario())


def test_a_relay_of_another_release_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, lambda _: None, protocol=99) as (speakers, _, _):
            with pytest.raises(ProtocolMismatch, match="protocol 99"):
                await asyncio.wait_for(speakers.failed(), 10)

    asyncio.run(scenario())


def test_a_lost_channel_is_made_again_and_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[BgpEvent] = []

    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, seen.extend) as (speakers, played, _):
            failed = asyncio.create_task(speakers.failed())
            await until(lambda: any("bgpsvc sync" in c for c in played.commands), "the first question")
            played.accepted[0].transport.abort()
            played.commands.clear()
            await until(lambda: any("bgpsvc sync" in c for c in played.commands), "the question again")
            assert [event for event in seen if isinstance(event, SpeakerUp)] == [SpeakerUp(Role.ACTIVE)] * 2
            assert speakers.status()[Role.ACTIVE].connected
            assert not failed.done()
            failed.cancel()

    asyncio.run(scenario())


def test_half_a_line_of_a_relay_that_died_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, lambda _: None) as (speakers, played, _):
            failed = asyncio.create_task(speakers.failed())
            await until(lambda: any("bgpsvc sync" in c for c in played.commands), "the first question")
            for fragment in ("#", "#marked", "#reloaded", "#routes 1.1.1.1 2.2.2.2 nonsense", "#lost x"):
                played.say(fragment)
            played.commands.clear()
            await speakers.forget([T1.id])
            await until(lambda: played.commands, "the question")
            assert not failed.done()
            failed.cancel()

    asyncio.run(scenario())
