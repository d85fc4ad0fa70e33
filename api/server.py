"""The HTTP server: where it may listen, and how it ends.

Tokens must not cross a network in clear, so beyond loopback it is TLS or nothing; and whoever needs no
token must be on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from api.connections import Connection
from api.tls import Tls, expiry, load, load_into

GRACE_SECONDS = 2
"""How long requests may take to finish when the server stops."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: a unix socket's path, an address and a port (0: any free one), or an inherited
    socket's file descriptor."""

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


def parse_listen(text: str, *, tls: bool = False, anonymous: bool = False) -> Listen:
    """`127.0.0.1:8179`, `[::1]:8179`, `localhost:8179`, `unix:/path` or `fd:N` (an inherited socket).

    ValueError with the reason for anything else. An address that is not loopback needs `tls`, and is refused
    if `anonymous` requests are answered.
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
        _check_beyond_loopback(text, tls, anonymous)
    return Listen(host=str(address), port=int(port))


def _check_beyond_loopback(text: str, tls: bool, anonymous: bool) -> None:
    if anonymous:
        raise ValueError(
            f"{text!r}: without tokens (--anonymous) the API listens on loopback (127.0.0.0/8, ::1) or "
            "unix:/path only"
        )
    if not tls:
        raise ValueError(
            f"{text!r}: beyond loopback (127.0.0.0/8, ::1) the API speaks TLS only: give --tls-cert "
            "and --tls-key"
        )


def bind(listen: Listen, *, tls: bool = False, anonymous: bool = False) -> socket.socket:
    """A bound socket. OSError with the reason if the address is taken or may not be used.

    A unix socket is for its owner and group only, from the moment it exists (mode 0660); one that a
    process left behind is replaced, one that somebody serves is not.
    """
    if listen.descriptor is not None:
        return _inherit(listen.descriptor, tls, anonymous)
    if listen.path is None:
        _check_address(str(listen), listen.host, tls, anonymous)
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        # asyncio turns Nagle's algorithm off only where the socket says that it is TCP; else the body of a
        # response waits 40 ms for the client's acknowledgement of its head.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


def _check_address(text: str, host: str, tls: bool, anonymous: bool) -> None:
    if not ipaddress.ip_address(host).is_loopback:
        try:
            _check_beyond_loopback(text, tls, anonymous)
        except ValueError as error:
            raise OSError(errno.EACCES, str(error)) from None


def _inherit(descriptor: int, tls: bool, anonymous: bool) -> socket.socket:
    """A socket that somebody else bound for us; the same addresses are allowed as elsewhere."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise OSError(error.errno, f"fd:{descriptor} is no socket: {error.strerror}") from None
    if sock.family != socket.AF_UNIX:
        host, port = sock.getsockname()[:2]
        _check_address(f"fd:{descriptor} ({host}:{port})", host, tls, anonymous)
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

    The constructor binds (OSError, see `bind`) unless it is given a socket that is bound already, and reads
    certificate and key (OSError, see `api.tls`); `await server.serve()` runs it until `should_exit` is set.
    Signals are left to the caller, who has more to stop than this.
    """

    def __init__(
        self, app: FastAPI, listen: Listen, sock: socket.socket | None = None, tls: Tls | None = None
    ) -> None:
        self._app = app
        self._listen = listen
        self._tls = tls
        self.listening = asyncio.Event()
        """Set as soon as it takes connections."""
        context = None if tls is None else load(tls)
        if tls is not None:
            app.state.certificate_expiry = expiry(tls)
        self._socket = sock if sock is not None else bind(listen, tls=tls is not None)
        config = uvicorn.Config(
            app,
            http=Connection,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Who asks is whom the connection comes from, whatever a header says.
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        config.load()
        config.ssl = context
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections from now on."""
        await super().startup(sockets)
        self.listening.set()

    @property
    def address(self) -> str:
        """Where it listens, as `--server` of the command line takes it."""
        if self._listen.path is not None:
            return f"unix:{self._listen.path}"
        if self._socket.family == socket.AF_UNIX:
            return f"unix:{self._socket.getsockname()}"
        host, port = self._socket.getsockname()[:2]
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def reload_certificates(self) -> None:
        """New connections get the certificate that the files have now, open ones stay. OSError with the
        reason if they cannot be used; the former one stays then. Nothing to do without TLS."""
        if self._tls is not None and self.config.ssl is not None:
            load_into(self.config.ssl, self._tls)
            self._app.state.certificate_expiry = expiry(self._tls)

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


class ApiServers:
    """Several servers of one application, which run and stop together."""

    def __init__(self, servers: Sequence[ApiServer]) -> None:
        self._servers = tuple(servers)

    @property
    def started(self) -> bool:
        """All of them take connections."""
        return all(server.started for server in self._servers)

    async def until_started(self) -> None:
        """Until all of them take connections; for ever if one of them fails before."""
        for server in self._servers:
            await server.listening.wait()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where they listen, as `--server` of the command line takes it."""
        return tuple(server.address for server in self._servers)

    async def serve(self) -> None:
        """Serves until `stop`; if one of them fails, the others are stopped and its error is raised."""
        running = [asyncio.create_task(server.serve()) for server in self._servers]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def stop(self) -> None:
        """Ends `serve` soon: requests may finish, event streams end."""
        for server in self._servers:
            server.should_exit = True

    def reload_certificates(self) -> None:
        """See `ApiServer.reload_certificates`. All are tried; the first OSError is raised then."""
        problems: list[OSError] = []
        for server in self._servers:
            try:
                server.reload_certificates()
            except OSError as error:
                problems.append(error)
        if problems:
            raise problems[0]
