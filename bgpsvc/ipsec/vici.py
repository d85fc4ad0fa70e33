"""charon's control socket: requests and the stream of events, in asyncio.

The `vici` package speaks with blocking calls; its coding of packets and messages is used here over asyncio's
own streams, so that no thread can hang and a lost connection is noticed at once. Commands and events have
connections of their own: a command that waits for a peer holds up nobody else.

Messages are nested dictionaries of text, lists of text and dictionaries. What was sent is in no exception.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vici.exception import DeserializationException
from vici.protocol import Message as Coding
from vici.protocol import Packet

LONGEST_PATH = 107
"""sizeof(sockaddr_un.sun_path) - 1 of Linux, in bytes."""
EVENTS = ("log", "ike-updown", "child-updown", "ike-rekey", "child-rekey")
ANSWER_TIMEOUT_S = 30.0
AT_ONCE_MOST = 3
"""Connections for commands; charon's queue of connections to accept is short."""
_HEADER = struct.Struct("!I")
_LARGEST = 512 * 1024

Message = dict[str, Any]
"""As charon sends it: text, lists of text, and messages by name."""
OnEvent = Callable[[str, Message], None]
"""Given an event's name and content, in the loop's thread and in charon's order."""
OnLost = Callable[[str], None]
"""Given why the stream of events ended; called once, and not after `close`."""

log = logging.getLogger(__name__)


class CharonError(Exception):
    """A command was not carried out."""


class CharonLost(CharonError):
    """charon cannot be reached, or does not answer."""


class CharonRefused(CharonError):
    """charon did not do what it was told; `reason` is what it says."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"charon refused {command}: {reason}")
        self.command = command
        self.reason = reason


class Charon:
    """A client of one charon. Connections are made when they are needed, and anew after a loss."""

    def __init__(self, path: Path) -> None:
        """`path` is that of the socket; ValueError if it is too long for one."""
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise ValueError(f"{path} is no path for a socket: over {LONGEST_PATH} bytes")
        self.path = path
        self._idle: list[_Connection] = []
        self._places = asyncio.Semaphore(AT_ONCE_MOST)
        self._listening: asyncio.Task[None] | None = None

    # Commands -------------------------------------------------------------------------------

    async def version(self) -> Message:
        """Name and version of the daemon, and of the system."""
        return await self.request("version")

    async def stats(self) -> Message:
        """Uptime, workers, queues, loaded plugins and numbers of SAs."""
        return await self.request("stats")

    async def get_algorithms(self) -> Message:
        """Loaded algorithms by kind (`encryption`, `integrity`, `ke`, …), each with its plugin."""
        return await self.request("get-algorithms")

    async def load_conn(self, name: str, connection: Mapping[str, object]) -> None:
        """Load a connection, or replace the one of that name; SAs that exist stay as they are."""
        await self.request("load-conn", {name: connection})

    async def unload_conn(self, name: str) -> None:
        """Remove a connection. CharonRefused if there is none."""
        await self.request("unload-conn", {"name": name})

    async def load_shared(self, ident: str, data: str, owners: Sequence[str], kind: str = "IKE") -> None:
        """Load a pre-shared key, or replace the one of that id; `owners` are the identities it is for."""
        message = {"id": ident, "type": kind, "data": data.encode(), "owners": list(owners)}
        try:
            await self.request("load-shared", message)
        except CharonRefused as error:
            raise CharonRefused(error.command, error.reason.replace(data, "…")) from None

    async def unload_shared(self, ident: str) -> None:
        """Remove a pre-shared key. CharonRefused if there is none."""
        await self.request("unload-shared", {"id": ident})

    async def get_shared(self) -> list[str]:
        """Ids of the keys that were loaded over this socket."""
        return [str(key) for key in (await self.request("get-shared")).get("keys", [])]

    async def initiate(self, child: str, ike: str) -> None:
        """Begin to negotiate a child SA, and the IKE SA if there is none. What comes of it are events."""
        await self.request("initiate", {"child": child, "ike": ike, "timeout": -1, "init-limits": "no"})

    async def terminate(
        self, *, ike: str | None = None, ike_id: int | None = None, force: bool = False, wait: float = 0
    ) -> int:
        """End IKE SAs by the name of their connection, or one by its unique id; how many there were.

        Waits up to `wait` seconds for the peer's answer. `force`: what has not ended then is deleted
        without one.
        """
        wished = {"ike": ike} if ike_id is None else {"ike-id": ike_id}
        milliseconds = int(wait * 1000) or -1
        message = {**wished, "force": "yes" if force else "no", "timeout": milliseconds}
        try:
            answer = await self.request("terminate", message, ANSWER_TIMEOUT_S + wait)
        except CharonRefused as error:
            if "no matching SAs" in error.reason:
                return 0
            # With a time limit charon reports those that have not ended in time.
            if wait and not force:
                return 1
            raise
        return int(answer.get("matches", 0))

    async def list_sas(self, ike: str | None = None) -> list[Message]:
        """The IKE SAs with their child SAs, each as `{connection: {…}}`; `ike`: those of a connection."""
        return await self.stream("list-sas", "list-sa", {"ike": ike} if ike else None)

    async def list_conns(self, ike: str | None = None) -> list[Message]:
        """The loaded connections, each as `{name: {…}}`."""
        return await self.stream("list-conns", "list-conn", {"ike": ike} if ike else None)

    async def request(
        self, command: str, message: Mapping[str, object] | None = None, limit: float = ANSWER_TIMEOUT_S
    ) -> Message:
        """Send a command; its answer. CharonRefused if it failed, CharonLost."""
        answer, _events = await self._exchange(command, None, message, limit)
        return answer

    async def stream(
        self, command: str, event: str, message: Mapping[str, object] | None = None
    ) -> list[Message]:
        """Send a command that answers with a series of events. CharonRefused, CharonLost."""
        _answer, events = await self._exchange(command, event, message, ANSWER_TIMEOUT_S)
        return events

    async def _exchange(
        self, command: str, event: str | None, message: Mapping[str, object] | None, limit: float
    ) -> tuple[Message, list[Message]]:
        async with self._places:
            connection: _Connection | None = None
            try:
                async with asyncio.timeout(limit):
                    connection = self._take_idle() or await _Connection.open(self.path)
                    answer, events = await connection.ask(command, event, message)
            except BaseException as error:
                # An answer may still come: nobody else can use this connection.
                if connection is not None:
                    connection.abort()
                if isinstance(error, TimeoutError):
                    raise CharonLost(f"charon did not answer {command} in {limit:.0f} s") from None
                raise
            self._idle.append(connection)
        if answer.get("success", "yes") != "yes":
            raise CharonRefused(command, str(answer.get("errmsg") or "it does not say why"))
        return answer, events

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.ended:
                return connection
            connection.abort()
        return None

    # Events ---------------------------------------------------------------------------------

    async def listen(self, on_event: OnEvent, on_lost: OnLost, events: Sequence[str] = EVENTS) -> None:
        """Subscribe; returns once every event from now on will be told. CharonLost."""
        if self._listening is not None and not self._listening.done():
            raise RuntimeError("the events are listened to already")
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                connection = await _Connection.open(self.path)
                early = [item for event in events for item in await connection.register(event)]
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, TimeoutError):
                raise CharonLost("charon did not confirm the subscription to its events") from None
            raise
        self._listening = asyncio.create_task(_deliver(connection, early, on_event, on_lost))
        self._listening.add_done_callback(lambda task: _ended(task, on_lost))

    async def close(self) -> None:
        """Close all connections; commands under way fail with CharonLost."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        for connection in self._idle:
            connection.abort()
        self._idle = []


async def _deliver(
    connection: _Connection, early: list[tuple[str, Message]], on_event: OnEvent, on_lost: OnLost
) -> None:
    try:
        for name, content in early:
            on_event(name, content)
        while True:
            on_event(*await connection.event())
    except CharonLost as error:
        on_lost(str(error))
    finally:
        connection.abort()


def _ended(task: asyncio.Task[None], on_lost: OnLost) -> None:
    """A listener's defect ends the stream as well: then somebody has to listen anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("charon's events are not listened to any more", exc_info=error)
        on_lost(f"an event of charon was not understood: {error!r}")


class _Connection:
    """A connection to the socket: packets of a length and a body (vici's README, "Transport")."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: Path) -> _Connection:
        try:
            return cls(*await asyncio.open_unix_connection(path))
        except OSError as error:
            raise CharonLost(f"charon's socket {path}: {error.strerror or error}") from error

    @property
    def ended(self) -> bool:
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def ask(
        self, command: str, event: str | None, message: Mapping[str, object] | None
    ) -> tuple[Message, list[Message]]:
        """The answer to a command, and the events of that name that it sent before."""
        if event is not None:
            await self.register(event)
        body = Coding.serialize(message) if message else None
        await self._send(Packet.request(command, body))
        events: list[Message] = []
        kind, _name, content = await self._receive()
        while kind == Packet.EVENT:
            events.append(content)
            kind, _name, content = await self._receive()
        if kind == Packet.CMD_UNKNOWN:
            raise CharonRefused(command, "this charon does not know the command")
        if kind != Packet.CMD_RESPONSE:
            raise CharonLost(f"charon answered {command} with a packet of type {kind}")
        if event is not None:
            await self._confirmed(Packet.unregister_event(event), event)
        return content, events

    async def register(self, event: str) -> list[tuple[str, Message]]:
        """Subscribe to an event; those that came meanwhile, of this and others."""
        return await self._confirmed(Packet.register_event(event), event)

    async def event(self) -> tuple[str, Message]:
        """The next event."""
        while True:
            kind, name, content = await self._receive()
            if kind == Packet.EVENT:
                return name, content

    async def _confirmed(self, packet: bytes, event: str) -> list[tuple[str, Message]]:
        await self._send(packet)
        early: list[tuple[str, Message]] = []
        kind, name, content = await self._receive()
        while kind == Packet.EVENT:
            early.append((name, content))
            kind, name, content = await self._receive()
        if kind != Packet.EVENT_CONFIRM:
            raise CharonRefused("the subscription", f"this charon has no event {event}")
        return early

    async def _send(self, packet: bytes) -> None:
        self._writer.write(_HEADER.pack(len(packet)) + packet)
        try:
            await self._writer.drain()
        except OSError as error:
            raise CharonLost(f"charon closed the connection: {error.strerror or error}") from None

    async def _receive(self) -> tuple[int, str, Message]:
        try:
            (length,) = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
            if length > _LARGEST:
                raise CharonLost(f"charon sent a packet of {length} bytes, over {_LARGEST}")
            packet = Packet.parse(await self._reader.readexactly(length))
        except asyncio.IncompleteReadError:
            raise CharonLost("charon closed the connection") from None
        except OSError as error:
            raise CharonLost(f"charon closed the connection: {error.strerror or error}") from None
        name = packet.event_type.decode() if packet.response_type == Packet.EVENT else ""
        try:
            return packet.response_type, name, _texts(Coding.deserialize(packet.payload))
        except DeserializationException as error:
            raise CharonLost(f"charon sent what is no message: {error}") from None


def _texts(section: Mapping[str, Any]) -> Message:
    return {name: _text(value) for name, value in section.items()}


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_text(item) for item in value]
    return _texts(value)
