"""The client of charon's socket, with a charon that says what the test wants."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from vici.protocol import Message as Coding
from vici.protocol import Packet

from bgpsvc.ipsec import vici
from bgpsvc.ipsec.vici import Charon, CharonLost, CharonRefused

KEY = "Correct-Horse-42"
Answer = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]


class FakeCharon:
    """Answers commands; `None` as an answer: never. Confirms subscriptions and can tell events."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                packet = await reader.readexactly(length)
                name = packet[2 : 2 + packet[1]].decode()
                if packet[0] in (Packet.EVENT_REGISTER, Packet.EVENT_UNREGISTER):
                    self.send(writer, struct.pack("!B", Packet.EVENT_CONFIRM))
                    continue
                body = packet[2 + packet[1] :]
                answer = self._answer(name, Coding.deserialize(_stream(body)))
                if answer is not None:
                    if name == "list-sas":
                        self.tell("list-sa", {"bgpsvc-one": {"uniqueid": "1"}})
                    self.send(writer, struct.pack("!B", Packet.CMD_RESPONSE) + Coding.serialize(answer))
        except asyncio.IncompleteReadError:
            writer.close()

    @staticmethod
    def send(writer: asyncio.StreamWriter, packet: bytes) -> None:
        writer.write(struct.pack("!I", len(packet)) + packet)

    def tell(self, event: str, content: Mapping[str, Any]) -> None:
        """Send an event on the connection that was opened last."""
        name = event.encode()
        head = struct.pack("!BB", Packet.EVENT, len(name)) + name
        self.send(self.writers[-1], head + Coding.serialize(content))


def _stream(body: bytes) -> Any:
    from vici.protocol import FiniteStream

    return FiniteStream(body)


@asynccontextmanager
async def charon(folder: Path, answer: Answer) -> AsyncIterator[tuple[FakeCharon, Charon]]:
    fake = FakeCharon(answer)
    server = await asyncio.start_unix_server(fake.serve, folder / "vici")
    client = Charon(folder / "vici")
    try:
        yield fake, client
    finally:
        await client.close()
        server.close()
        for writer in fake.writers:
            writer.close()


def with_charon(
    folder: Path, answer: Answer, scenario: Callable[[FakeCharon, Charon], Awaitable[None]]
) -> None:
    """Run a scenario."""

    async def run() -> None:
        async with asyncio.timeout(30), charon(folder, answer) as (fake, client):
            await scenario(fake, client)

    asyncio.run(run())


def test_answers_are_text_all_the_way_down(tmp_path: Path) -> None:
    def answer(_command: str, _message: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"a": "1", "list": ["x", "y"], "section": {"b": b"\xff"}}

    async def scenario(_fake: FakeCharon, client: Charon) -> None:
        assert await client.version() == {"a": "1", "list": ["x", "y"], "section": {"b": "�"}}
        assert await client.list_sas() == [{"bgpsvc-one": {"uniqueid": "1"}}]

    with_charon(tmp_path, answer, scenario)


def test_a_refusal_says_why_and_never_the_key(tmp_path: Path) -> None:
    def answer(_command: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"success": "no", "errmsg": f"cannot take {message['data'].decode()}"}

    async def scenario(_fake: FakeCharon, client: Charon) -> None:
        with pytest.raises(CharonRefused, match=r"charon refused load-shared: cannot take …") as caught:
            await client.load_shared("one", KEY, ["a"])
        error: BaseException | None = caught.value
        while error is not None:
            assert KEY not in repr(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)

    with_charon(tmp_path, answer, scenario)


def test_one_that_never_answers_counts_as_lost(tmp_path: Path) -> None:
    def answer(command: str, _message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return {} if command == "version" else None

    async def scenario(fake: FakeCharon, client: Charon) -> None:
        with pytest.raises(CharonLost, match="did not answer stats"):
            await client.request("stats", limit=0.05)
        # A late answer to that is nobody's: the next question has a connection of its own.
        assert await client.version() == {}
        assert len(fake.writers) == 2

    with_charon(tmp_path, answer, scenario)


def test_commands_wait_for_no_other(tmp_path: Path) -> None:
    def answer(command: str, _message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return None if command == "terminate" else {}

    async def scenario(_fake: FakeCharon, client: Charon) -> None:
        slow = asyncio.create_task(client.terminate(ike="one", wait=20))
        for _ in range(5):
            await client.version()
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)

    with_charon(tmp_path, answer, scenario)


def test_nothing_to_terminate_is_no_error(tmp_path: Path) -> None:
    def answer(_command: str, _message: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"success": "no", "errmsg": "no matching SAs to terminate found"}

    async def scenario(_fake: FakeCharon, client: Charon) -> None:
        assert await client.terminate(ike="one", force=True) == 0

    with_charon(tmp_path, answer, scenario)


def test_events_come_in_order_and_the_loss_is_told_once(tmp_path: Path) -> None:
    async def scenario(fake: FakeCharon, client: Charon) -> None:
        told: list[object] = []
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await client.listen(lambda name, content: told.append((name, content)), lost.set_result)
        for number in range(50):
            fake.tell("log", {"msg": str(number)})
        fake.writers[-1].close()
        assert "closed the connection" in await lost
        assert told == [("log", {"msg": str(number)}) for number in range(50)]

    with_charon(tmp_path, lambda *_: {}, scenario)


def test_a_listener_that_fails_leaves_nobody_believing_in_its_stream(tmp_path: Path) -> None:
    def on_event(_name: str, _content: Mapping[str, Any]) -> None:
        raise ZeroDivisionError

    async def scenario(fake: FakeCharon, client: Charon) -> None:
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await client.listen(on_event, lost.set_result)
        fake.tell("log", {"msg": "one"})
        assert "ZeroDivisionError" in await asyncio.wait_for(lost, 10)
        await client.listen(lambda *_: None, lambda _reason: None)

    with_charon(tmp_path, lambda *_: {}, scenario)


def test_closing_is_no_loss(tmp_path: Path) -> None:
    async def scenario(_fake: FakeCharon, client: Charon) -> None:
        lost: list[str] = []
        await client.listen(lambda *_: None, lost.append)
        await client.close()
        await asyncio.sleep(0)
        assert not lost

    with_charon(tmp_path, lambda *_: {}, scenario)


def test_without_charon(tmp_path: Path) -> None:
    with pytest.raises(CharonLost, match=f"{tmp_path}/vici: No such file"):
        asyncio.run(Charon(tmp_path / "vici").version())


def test_what_is_too_long_for_a_socket() -> None:
    with pytest.raises(ValueError, match="over 107 bytes"):
        Charon(Path("/" + "x" * vici.LONGEST_PATH))
