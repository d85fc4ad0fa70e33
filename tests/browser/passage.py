"""A network of the browser's own, with one way out: to the machine's loopback.

When anything changes in the network that it is in, Chromium breaks off all requests (ERR_NETWORK_CHANGED). On
a machine where other tests start containers that is all the time. So it lives in a namespace in which nothing
ever changes, and reaches daemons by a SOCKS proxy (RFC 1928) that listens there and connects from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.netns.namespaces import Namespace

_CHUNK = 1 << 16
_NO_AUTHENTICATION, _CONNECT = 0, 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SUCCEEDED, _NOT_ALLOWED, _REFUSED = 0, 2, 5


@contextmanager
def passage() -> Iterator[tuple[Namespace, int]]:
    """The namespace, and the port of the proxy on its loopback."""
    with Namespace() as namespace:
        with namespace.entered():
            listener = socket.create_server(("127.0.0.1", 0))
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(asyncio.start_server(_serve, sock=listener), loop).result()
            yield namespace, listener.getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(_end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
            listener.close()


async def _end() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(bytes((5, _NO_AUTHENTICATION)))
        host, port = await _asked(reader)
        verdict, there = await _connect(host, port)
        writer.write(bytes((5, verdict, 0, _IPV4)) + bytes(6))
        if there is not None:
            with contextlib.closing(there[1]):
                await _both_ways((reader, writer), there)


async def _asked(reader: asyncio.StreamReader) -> tuple[str, int]:
    """The destination of a CONNECT; nobody here asks for anything else."""
    _, command, _, kind = await reader.readexactly(4)
    assert command == _CONNECT, command
    if kind == _NAME:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    else:
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == _IPV4 else 16)))
    return host, int.from_bytes(await reader.readexactly(2), "big")


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connect(host: str, port: int) -> tuple[int, Streams | None]:
    if not _is_loopback(host):
        return _NOT_ALLOWED, None
    try:
        return _SUCCEEDED, await asyncio.open_connection(host, port)
    except OSError:
        return _REFUSED, None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _both_ways(here: Streams, there: Streams) -> None:
    """Until either side has ended its half and the other one has too, or one of them broke off."""
    await asyncio.gather(_hand_on(here[0], there[1]), _hand_on(there[0], here[1]))


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
