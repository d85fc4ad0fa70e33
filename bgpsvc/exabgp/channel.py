"""The daemon's end of a relay: connects to it, reads whole lines in portions, writes commands."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from bgpsvc.exabgp import relay

READ_SIZE = 1 << 18
CONNECT_INTERVAL = 0.02


class ChannelClosed(ConnectionError):
    """The relay is gone."""


class ProtocolMismatch(RuntimeError):
    """The relay is of another release, which was installed while we run: only a restart of us helps."""


class Channel:
    """A connection to the relay of one speaker."""

    def __init__(self, sock: socket.socket, rest: bytes, relay_pid: int) -> None:
        self.relay_pid = relay_pid
        self._sock = sock
        self._rest = rest
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path, speaker_pid: int) -> Channel:
        """Connect as soon as the relay of that speaker listens; waits for it as long as it takes.

        ProtocolMismatch if it is not one that we understand.
        """
        while True:
            channel = await cls._try(path, speaker_pid)
            if channel is not None:
                return channel
            await asyncio.sleep(CONNECT_INTERVAL)

    @classmethod
    async def _try(cls, path: Path, speaker_pid: int) -> Channel | None:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            # Unix socket paths end after 107 bytes, state directories need not: name the directory by number.
            directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
            try:
                await loop.sock_connect(sock, f"/proc/self/fd/{directory}/{path.name}")
            finally:
                os.close(directory)
            data = b""
            async with asyncio.timeout(5):
                while b"\n" not in data:
                    received = await loop.sock_recv(sock, READ_SIZE)
                    if not received:
                        sock.close()
                        return None
                    data += received
        except (OSError, TimeoutError):
            sock.close()
            return None
        except BaseException:
            sock.close()
            raise
        hello, _, rest = data.partition(b"\n")
        words = hello.split()
        # The relay of a speaker that just ended may still be handing over its last lines.
        if len(words) != 4 or words[0] != b"#relay" or int(words[3]) != speaker_pid:
            sock.close()
            return None
        if int(words[1]) != relay.PROTOCOL:
            sock.close()
            raise ProtocolMismatch(f"the relay speaks protocol {int(words[1])}, not {relay.PROTOCOL}")
        return cls(sock, rest, int(words[2]))

    async def lines(self) -> AsyncIterator[list[bytes]]:
        """Portions of whole lines, until the relay is gone. Nothing is read while one is handled."""
        buffer = self._rest
        while True:
            if b"\n" in buffer:
                *lines, buffer = buffer.split(b"\n")
                yield lines
            try:
                data = await self._loop.sock_recv(self._sock, READ_SIZE)
            except OSError:
                return
            if not data:
                return
            buffer += data

    async def send(self, commands: str) -> None:
        """Whole command lines, one after the other. ChannelClosed if the relay is gone."""
        async with self._writing:
            try:
                await self._loop.sock_sendall(self._sock, commands.encode("ascii"))
            except OSError as error:
                raise ChannelClosed(str(error)) from error

    def close(self) -> None:
        self._sock.close()
