"""Addresses of a station's name, without a wait for name servers that do not answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future


async def addresses(host: str, port: int) -> list[str]:
    """Those to try, in order; an address stands for itself. OSError if the name has none.

    The resolver has a thread of its own, which keeps no process from ending. In asyncio's pool, which looks
    names up otherwise, it would for half a minute, and leave less room for what else the daemon does there.
    """
    found: Future[list[str]] = Future()
    threading.Thread(target=_look_up, args=(host, port, found), name=f"bmp {host}", daemon=True).start()
    return await asyncio.wrap_future(found)


def _look_up(host: str, port: int, found: Future[list[str]]) -> None:
    if not found.set_running_or_notify_cancel():
        return
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is too long
        found.set_exception(error if isinstance(error, OSError) else OSError(f"{host} is no name"))
    else:
        found.set_result(list(dict.fromkeys(str(address[0]) for *_, address in answers)))
