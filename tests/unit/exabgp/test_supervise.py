"""A speaker with a process and a relay that the test plays: what ends it, and what does not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.events import BgpEvent, SessionDown, SessionResync, SessionUp, SpeakerDown, SpeakerUp
from bgpsvc.exabgp import launcher, relay, reloader, vigil, watching
from bgpsvc.exabgp.channel import ProtocolMismatch
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.process import Paths, SpeakerProcess
from bgpsvc.exabgp.reloader import ReloadFailed
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.exabgp.supervise import OnEvents
from bgpsvc.model import Family, Role, SessionId

T1 = SpeakerSession(
    SessionId("c1-tunnel1"), Role.ACTIVE, "169.254.10.1", "169.254.10.2", 65530, 65500, "10.0.0.1"
)
PID = 4711


class Process:
    """A process that runs until the test ends it."""

    def __init__(self) -> None:
        self.pid = PID
        self.ended = asyncio.Event()
        self.taken: str | None = None
        self.signals = 0
        self.on_signal: Callable[[], None] = lambda: None

    def took(self, digest: str) -> None:
        self.taken = digest

    @property
    def running(self) -> bool:
        return not self.ended.is_set()

    async def wait(self) -> None:
        await self.ended.wait()

    async def stop(self) -> None:
        self.ended.set()

    def signal(self, number: int) -> None:
        self.signals += 1
        self.on_signal()

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
        self.answers_sync = True
        self.answers_version = True
        self._path = path
        self._counter = 0

    async def open(self) -> asyncio.AbstractServer:
        return await asyncio.start_unix_server(self._serve, self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"#relay %d 1 %d\n" % (self.protocol, PID))
        self.accepted.append(writer)
        while line := await reader.readline():
            command = line.decode().rstrip()
            self.commands.append(command)
            word, _, token = command.removeprefix("bgpsvc ").partition(" ")
            if word == "sync" and self.answers_sync:
                self.say(f"#synced {token}")
            elif word == "routes":
                self.say(f"#routed {token}")
            elif word == "version" and self.answers_version:
                self.say("exabgp 5.0.15")

    def refreshes(self) -> list[str]:
        """The families that were asked for."""
        return [command.split()[-2] for command in self.commands if "route-refresh" in command]

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


def digest_of(configuration: Path) -> str:
    return launcher.digest(configuration.read_bytes())


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not in 10 s: {what}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def speaking(
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_events: OnEvents,
    protocol: int = relay.PROTOCOL,
) -> AsyncIterator[tuple[Speakers, Relay, Process]]:
    """Speakers of which the active one runs, with its relay."""
    process = Process()

    def start(paths: Paths, _: int) -> Process:
        process.taken = digest_of(paths.configuration)
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
        speakers.release()
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


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """All times of the watch over speakers are a hundredth."""
    for name in ("TURN", "QUIET", "ANSWER", "LAST_ANSWER", "AT_WORK"):
        monkeypatch.setattr(vigil, name, getattr(vigil, name) / 100)
    monkeypatch.setattr(watching, "TURN", vigil.TURN)


def test_a_silent_speaker_is_asked_and_ended_if_it_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: None
) -> None:
    seen: list[BgpEvent] = []

    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, seen.extend) as (speakers, played, process):
            await until(lambda: played.commands.count("version") > 3, "asked again and again")
            assert process.signals == 0, "it answers"
            played.answers_version = False
            process.on_signal = process.ended.set
            await until(lambda: speakers.status()[Role.ACTIVE].restarts, "it was ended")
            said = speakers.status()[Role.ACTIVE].last_exit
            assert said == "it said nothing for 0 s and was ended"
            assert SpeakerDown(Role.ACTIVE, said) in seen

    asyncio.run(scenario())


def test_what_takes_the_consumer_long_is_no_silence_of_the_speaker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: None
) -> None:
    going_on = asyncio.Event()

    def consume(events: Sequence[BgpEvent]) -> Awaitable[None] | None:
        slow = not any(isinstance(event, SpeakerUp) for event in events)
        return wait() if slow else None

    async def wait() -> None:
        await going_on.wait()

    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, consume) as (_, played, process):
            await until(lambda: played.accepted, "connected")
            played.send("fsm", {"state": "OPENSENT"})
            # Five times as long as a silent one would be left.
            await asyncio.sleep(5 * (vigil.QUIET + vigil.ANSWER + vigil.LAST_ANSWER))
            assert process.signals == 0
            going_on.set()

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
            for fragment in (
                "#",
                "#marked",
                "#reloaded",
                "#routes 1.1.1.1 2.2.2.2 nonsense",
                "#lost x",
                "#synced",
            ):
                played.say(fragment)
            played.commands.clear()
            await speakers.forget([T1.id])
            await until(lambda: played.commands, "the question")
            assert not failed.done()
            failed.cancel()

    asyncio.run(scenario())


# Reloads ----------------------------------------------------------------------------------------


def test_a_reload_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the new one already; that ExaBGP took it, is another thing."""
    monkeypatch.setattr(reloader, "RELOAD_TIMEOUT", 0.2)
    monkeypatch.setattr(reloader, "RELOAD_RETRY_FIRST", 0.05)
    configuration = Paths(tmp_path, Role.ACTIVE).configuration
    changed = dataclasses.replace(T1, hold_time=9)

    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, lambda _: None) as (speakers, played, process):
            await until(lambda: played.accepted, "connected")
            with pytest.raises(ReloadFailed, match="did not read"):
                await speakers.apply([changed])
            # The same again is not "unchanged".
            with pytest.raises(ReloadFailed):
                await speakers.apply([changed])
            process.on_signal = lambda: played.say("#reloaded failed " + digest_of(configuration))
            with pytest.raises(ReloadFailed, match="refused"):
                await speakers.apply([changed])
            # An answer to an earlier signal is not the answer.
            process.on_signal = lambda: played.say("#reloaded ok " + launcher.digest(b"another"))
            with pytest.raises(ReloadFailed, match="did not read"):
                await speakers.apply([changed])
            assert process.taken != digest_of(configuration)
            process.on_signal = lambda: played.say("#reloaded ok " + digest_of(configuration))
            await until(lambda: process.taken == digest_of(configuration), "it was tried again by itself")
            signals = process.signals
            await speakers.apply([changed])
            assert process.signals == signals, "unchanged"

    asyncio.run(scenario())


def test_changes_come_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = Paths(tmp_path, Role.ACTIVE).configuration
    read: list[str] = []

    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, lambda _: None) as (speakers, played, process):
            await until(lambda: played.accepted, "connected")

            def answer() -> None:
                read.append(configuration.read_text())
                asyncio.get_running_loop().call_later(
                    0.05, played.say, "#reloaded ok " + launcher.digest(read[-1].encode())
                )

            process.on_signal = answer
            times = (9, 10, 11)
            await asyncio.gather(
                *(speakers.apply([dataclasses.replace(T1, hold_time=time)]) for time in times)
            )
            assert [f"hold-time {time};" in text for time, text in zip(times, read, strict=True)] == [
                True
            ] * 3

    asyncio.run(scenario())


def test_a_full_disk_is_no_accepted_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloader, "RELOAD_RETRY_FIRST", 0.05)
    configuration = Paths(tmp_path, Role.ACTIVE).configuration
    full = True
    write = reloader.write_private

    def write_unless_full(path: Path, text: str) -> None:
        if full:
            raise OSError(28, "No space left on device")
        write(path, text)

    async def scenario() -> None:
        nonlocal full
        full = False
        async with speaking(tmp_path, monkeypatch, lambda _: None) as (speakers, played, process):
            await until(lambda: played.accepted, "connected")
            process.on_signal = lambda: played.say("#reloaded ok " + digest_of(configuration))
            monkeypatch.setattr(reloader, "write_private", write_unless_full)
            full = True
            with pytest.raises(ReloadFailed, match="No space left"):
                await speakers.apply([dataclasses.replace(T1, hold_time=9)])
            full = False
            await until(lambda: "hold-time 9;" in configuration.read_text(), "written")
            await until(lambda: process.taken == digest_of(configuration), "and read")

    asyncio.run(scenario())


# Refreshes --------------------------------------------------------------------------------------

UP = {
    "state": "established",
    "negotiated": {"hold_time": 30, "families": ["ipv4 unicast", "ipv6 unicast"], "refresh": "enhanced"},
    "open": {},
}


def test_a_refresh_waits_for_the_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, lambda _: None) as (speakers, played, _):
            await until(lambda: played.commands, "the first question")
            assert await speakers.refresh(T1.id) == "not_established"
            played.send("sync", UP)
            await until(lambda: sorted(played.refreshes()) == ["ipv4", "ipv6"], "known as established")
            # The relay dies. What is asked for meanwhile goes out when the state is known again.
            played.answers_sync = False
            played.accepted[0].transport.abort()
            played.commands.clear()
            await until(lambda: any("bgpsvc sync" in c for c in played.commands), "the next connection")
            assert await speakers.refresh(T1.id, Family.IPV4) == "pending"
            assert played.refreshes() == []
            played.send("sync", UP)
            token = next(c for c in played.commands if "bgpsvc sync" in c).split()[-1]
            played.say(f"#synced {token}")
            await until(lambda: played.refreshes() == ["ipv4"], "once")

    asyncio.run(scenario())


@pytest.mark.parametrize("state", ["up", "down"])
def test_a_refresh_is_dropped_with_the_session(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[BgpEvent] = []

    async def scenario() -> None:
        async with speaking(tmp_path, monkeypatch, seen.extend) as (speakers, played, _):
            await until(lambda: played.commands, "the first question")
            assert await speakers.refresh(T1.id) == "not_established"
            played.send("state", {"state": state, "reason": "test"})
            await until(lambda: isinstance(seen[-1], SessionUp | SessionDown), "the news")
            played.send("sync", UP)
            await speakers.forget([T1.id])
            played.send("sync", UP)
            await until(lambda: isinstance(seen[-1], SessionResync), "Established")
            await speakers.refresh(T1.id, Family.IPV6)
            await until(lambda: "ipv6" in played.refreshes(), "what is wanted now")
            assert played.refreshes() == ["ipv6"]
            assert not any("teardown" in command for command in played.commands)

    asyncio.run(scenario())
