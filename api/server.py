"""The HTTP server: where it may listen, and how it ends.

Until accounts exist, whoever reaches the API controls the gateway: only loopback addresses and unix
sockets are taken.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Generator
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

GRACE_SECONDS = 2
"""How long requests may take to finish when the server stops."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: a unix socket's path, a loopback address and a port (0: any free one), or an
    inherited socket's file descriptor."""

    path: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    descriptor: int | None = None

    def __str__(self) -> str:
        if self.descriptor is not None:
            return f"fd:{self.descriptor}"
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """`127.0.0.1:8179`, `[::1]:8179`, `localhost:8179`, `unix:/path` or `fd:N` (an inherited socket).

    ValueError with the reason for anything else, addresses that are not loopback included.
    """
    if text.startswith("fd:"):
        number = text.removeprefix("fd:")
        if not (number.isascii() and number.isdigit()):
            raise ValueError(f"{text!r}: fd: takes the number of an inherited file descriptor")
        return Listen(descriptor=int(number))
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


def bind(listen: Listen) -> socket.socket:
    """A bound socket. OSError with the reason if the address is taken or may not be used.

    A unix socket is for its owner and group only, from the moment it exists (mode 0660); one that a
    process left behind is replaced, one that somebody serves is not.
    """
    if listen.descriptor is not None:
        return _inherit(listen.descriptor)
    if listen.path is None:
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        target: tuple[str, int] | str = (listen.host, listen.port)
    else:
        _remove_leftover(listen.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Linux takes the mode of the file that bind() makes from the unbound socket, less the umask;
        # so nobody gets in between bind() and chmod().
        os.fchmod(sock.fileno(), 0o600)
        target = listen.path
    try:
        sock.bind(target)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {listen}: {error.strerror}") from None
    if listen.path is not None:
        os.chmod(listen.path, 0o660)
    sock.setblocking(False)
    return sock


def _inherit(descriptor: int) -> socket.socket:
    """A socket that somebody else bound for us; the same addresses are allowed as elsewhere."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise OSError(error.errno, f"fd:{descriptor} is no socket: {error.strerror}") from None
    if sock.family != socket.AF_UNIX and not ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
        raise OSError(errno.EACCES, f"fd:{descriptor} is bound to an address that is not loopback")
    sock.setblocking(False)
    return sock


def _remove_leftover(path: str) -> None:
    """Removes a unix socket that nobody serves; OSError if somebody does, or if it is something else."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(errno.EEXIST, f"cannot listen on unix:{path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, f"cannot listen on unix:{path}: another process serves it")


class ApiServer(uvicorn.Server):
    """A uvicorn server for the application that ends open event streams when it stops.

    The constructor binds (OSError, see `bind`) unless it is given a socket that is bound already;
    `await server.serve()` runs it until `should_exit` is set. Signals are left to the caller, who has
    more to stop than this.
    """

    def __init__(self, app: FastAPI, listen: Listen, sock: socket.socket | None = None) -> None:
        self._app = app
        self._listen = listen
        self._socket = sock if sock is not None else bind(listen)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)

    @property
    def address(self) -> str:
        """Where it listens, as `--server` of the command line takes it."""
        if self._listen.path is not None:
            return f"unix:{self._listen.path}"
        if self._socket.family == socket.AF_UNIX:
            return f"unix:{self._socket.getsockname()}"
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Takes no signals."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until `should_exit` is set; removes the unix socket afterwards."""
        try:
            await super().serve([self._socket, *(sockets or [])])
        finally:
            self._socket.close()
            if self._listen.path is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._listen.path)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells the streams, then waits for open requests as uvicorn does."""
        self._app.state.closing.set()
        await super().shutdown(sockets)
