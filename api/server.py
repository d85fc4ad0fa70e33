"""The HTTP server: where it may listen, and how it ends.

Until accounts exist, whoever reaches the API controls the gateway: only loopback addresses and unix
sockets are taken.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

GRACE_SECONDS = 2
"""How long requests may take to finish when the server stops."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: a unix socket's path, or a loopback address and a port (0: any free one)."""

    path: str | None = None
    host: str = "127.0.0.1"
    port: int = 0


def parse_listen(text: str) -> Listen:
    """`127.0.0.1:8179`, `[::1]:8179`, `localhost:8179` or `unix:/path`.

    ValueError with the reason for anything else, addresses that are not loopback included.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{text!r}: the path of a unix socket must be absolute")
        return Listen(path=path)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address and a port, as 127.0.0.1:8179, nor unix:/path")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address") from None
    if not address.is_loopback:
        raise ValueError(
            f"{text!r}: without accounts the API listens on loopback (127.0.0.0/8, ::1) or unix:/path only"
        )
    return Listen(host=str(address), port=int(port))


class ApiServer(uvicorn.Server):
    """A uvicorn server for the application that ends open event streams when it stops.

    `await server.serve()` runs it until `server.should_exit` is set or, where uvicorn handles them, a
    signal arrives.
    """

    def __init__(self, app: FastAPI, listen: Listen) -> None:
        config = uvicorn.Config(
            app,
            host=listen.host,
            port=listen.port,
            uds=listen.path,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells the streams, then waits for open requests as uvicorn does."""
        self._app.state.closing.set()
        await super().shutdown(sockets)
