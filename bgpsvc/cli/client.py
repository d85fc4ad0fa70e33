"""The command line's HTTP client: small, so that a command starts in a fraction of a second.

Speaks HTTP over a unix socket or TCP, and HTTPS; one request per connection, no redirects. Every failure
becomes a `CliError` with one clear line; problem documents (RFC 9457) are told in full, as `Refused`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import ssl
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from bgpsvc.cli.errors import CliError

DEFAULT_SERVER = "http://127.0.0.1:8179"
DEFAULT_SOCKET = Path("/var/lib/bgpsvc/api.sock")
"""Where the daemon listens in its default state directory."""
DEFAULT_PORT = 8179
URN = "urn:bgpsvc:problem:"
PAGE = 1000
CHUNK = 256 * 1024
TIMEOUT = 30.0
BULK_TIMEOUT = 300.0
"""Seconds for operations on all resources, which may be tens of thousands."""

Json = dict[str, Any]
Params = Mapping[str, object]


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def path_to(*segments: str) -> str:
    """A path of the API; each segment, as the name of a resource, stays one whatever it contains.

    CliError for an empty name, `.`, `..` and a slash, which servers read even if it is quoted: with them
    the path would be another one.
    """
    for segment in segments:
        if segment in ("", ".", "..") or "/" in segment:
            raise CliError(f"{segment!r} is not the name of anything", 2)
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


class Refused(CliError):
    """The daemon answered with a problem document.

    `http_status` is its status, `kind` what its type names (`read-only`), `errors` the mistakes as
    (JSON pointer without `#`, text).
    """

    def __init__(self, message: str, status: int, http_status: int, document: Json) -> None:
        super().__init__(message, status)
        self.http_status = http_status
        self.kind = str(document.get("type", "")).removeprefix(URN)
        self.errors = tuple(
            (str(error["pointer"]).removeprefix("#"), _mistake(error))
            for error in document.get("errors") or ()
        )


class Unreachable(CliError):
    """No daemon answers there."""


@dataclass(frozen=True, slots=True)
class Download:
    """An answer that is no JSON object of ours. `filename` as the daemon proposes it, None if it does not."""

    text: str = field(repr=False)
    filename: str | None


@dataclass(frozen=True, slots=True)
class _Request:
    """One request. `body` is JSON, `timeout` in seconds; with `if_match` it is for that version only."""

    method: str
    path: str
    params: Params | None = None
    body: bytes | None = field(default=None, repr=False)
    if_match: str | None = None
    timeout: float = TIMEOUT

    @property
    def target(self) -> str:
        given = {name: value for name, value in (self.params or {}).items() if value is not None}
        return self.path + (f"?{urlencode(given, doseq=True)}" if given else "")

    def headers(self, token: str | None) -> dict[str, str]:
        optional = {
            "Content-Type": None if self.body is None else "application/json",
            "If-Match": self.if_match,
            "Authorization": None if token is None else f"Bearer {token}",
        }
        given = {name: value for name, value in optional.items() if value is not None}
        return {"Accept": "application/json", "Connection": "close", **given}


class Client:
    """Requests to one server, given as `http[s]://HOST[:PORT]`, `HOST:PORT` or `unix:/PATH`.

    Without one: `$BGPSVC_SERVER`, else the daemon's socket if it is there for this user, else loopback.
    `ca_file` holds the certificates that an https server's must lead to (default: the system's).
    """

    def __init__(
        self, server: str | None, *, token_file: str | None = None, ca_file: str | None = None
    ) -> None:
        self.server = server or os.environ.get("BGPSVC_SERVER") or _default_server()
        self._path: str | None = None
        self._tls: ssl.SSLContext | None = None
        self._host, self._port = "localhost", DEFAULT_PORT
        self._token = _read_token(token_file)
        if self.server.startswith("unix:"):
            self._path = "/" + self.server.removeprefix("unix:").lstrip("/")
            return
        text = self.server if "://" in self.server else f"http://{self.server}"
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise CliError(f"{self.server!r} is not a server: {error}", 2) from None
        if url.scheme not in ("http", "https") or not host or url.path not in ("", "/"):
            raise CliError(f"{self.server!r} is not a server: give http[s]://ADDRESS:PORT or unix:/PATH", 2)
        if not _is_host(host):
            raise CliError(f"{self.server!r} is not a server: {host!r} is not a name of a host", 2)
        self._host, self._port = host, port or DEFAULT_PORT
        if url.scheme == "https":
            self._tls = _tls_context(ca_file)
        elif self._token is not None and not is_loopback(host):
            raise CliError(
                f"the token would cross the network to {host} readable for all: use https://{host}", 2
            )

    def get(self, path: str, params: Params | None = None, timeout: float = TIMEOUT) -> Json:
        """A resource as a JSON object."""
        return self._json(_Request("GET", path, params, timeout=timeout))

    def download(self, path: str, params: Params | None = None) -> Download:
        """A file, as text."""
        request = _Request("GET", path, params)
        connection, response = self._answer(request)
        try:
            text = response.read().decode()
        except UnicodeDecodeError:
            raise CliError(f"{self.server} does not answer like bgpsvc: what it sent is no text") from None
        except (OSError, HTTPException) as error:
            raise self._lost(error, request) from None
        finally:
            connection.close()
        named = re.search(r'filename="([A-Za-z0-9._-]+)"', response.headers.get("Content-Disposition", ""))
        return Download(text, named[1] if named else None)

    def chunks(self, path: str, params: Params | None = None) -> Iterator[bytes]:
        """A file as it comes. CliError if it ends before it is whole."""
        request = _Request("GET", path, params, timeout=BULK_TIMEOUT)
        connection, response = self._answer(request)
        try:
            while chunk := response.read(CHUNK):
                yield chunk
        except IncompleteRead:
            raise CliError(f"{self.server} broke off before the file was whole; its log says why") from None
        except (OSError, HTTPException) as error:
            raise self._lost(error, request) from None
        finally:
            connection.close()

    def etag(self, path: str) -> str | None:
        """The version of a resource, without reading all of it."""
        connection, response = self._answer(_Request("GET", path, timeout=BULK_TIMEOUT))
        connection.close()
        return response.headers.get("ETag")

    def send(
        self,
        method: str,
        path: str,
        body: Json | None,
        params: Params | None = None,
        if_match: str | None = None,
        timeout: float = TIMEOUT,
    ) -> Json:
        """The JSON answer to a request with a JSON body (or none); with `if_match` only for that version."""
        content = None if body is None else json.dumps(body).encode()
        return self._json(_Request(method, path, params, content, if_match, timeout))

    def pages(self, path: str, params: Params | None = None, limit: int = 0) -> Iterator[list[Json]]:
        """The pages of a list, at least one (that may be empty); at most `limit` items if not 0."""
        left = limit
        query = dict(params or {})
        while True:
            query["limit"] = min(left, PAGE) if limit else PAGE
            page = self.get(path, query)
            items = page["items"]
            yield items
            left -= len(items)
            if page["next_cursor"] is None or (limit and left <= 0):
                return
            query["cursor"] = page["next_cursor"]

    def items(self, path: str) -> list[Json]:
        """All items of a short list."""
        return [item for page in self.pages(path) for item in page]

    def events(self, after: int | None, filters: Json) -> Iterator[Json]:
        """The event stream, without end; a silent server is noticed by its missing keep-alives.

        `filters`: parameters of the stream, as `kind`."""
        params: Json = {**filters}
        if after is not None:
            params["after"] = after
        request = _Request("GET", "/v1/events/stream", params)
        connection, response = self._answer(request)
        try:
            while line := response.readline():
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
        except (OSError, HTTPException) as error:
            raise self._lost(error, request) from None
        finally:
            connection.close()
        raise CliError(f"{self.server} has ended the event stream")

    def _json(self, request: _Request) -> Json:
        connection, response = self._answer(request)
        try:
            answer = json.loads(response.read())
        except ValueError:
            raise CliError(f"{self.server} does not answer like bgpsvc: what it sent is not JSON") from None
        except (OSError, HTTPException) as error:
            raise self._lost(error, request) from None
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise CliError(f"{self.server} does not answer like bgpsvc")
        return answer

    def _answer(self, request: _Request) -> tuple[HTTPConnection, HTTPResponse]:
        """An answered request; the caller closes the connection. CliError for problems."""
        connection = self._connection(request.timeout)
        try:
            connection.request(request.method, request.target, request.body, request.headers(self._token))
            response = connection.getresponse()
            if response.status < 400:
                return connection, response
            problem = response.read()
            wait = response.headers.get("Retry-After")
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._lost(error, request) from None
        connection.close()
        raise _problem(self.server, response.status, problem, wait, self._token is not None)

    def _connection(self, timeout: float) -> HTTPConnection:
        if self._path is not None:
            return _UnixConnection(self._path, timeout)
        if self._tls is not None:
            return HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return HTTPConnection(self._host, self._port, timeout=timeout)

    def _lost(self, error: Exception, request: _Request) -> CliError:
        if isinstance(error, TimeoutError):
            return CliError(f"{self.server} does not answer within {request.timeout:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            return CliError(
                f"{self.server} is not trusted: {error.verify_message}; --ca-file names certificates to trust"
            )
        if isinstance(error, PermissionError) and self._path is not None:
            return CliError(
                f"{self.server} is not for this user: run it as root, or give --server and a token"
            )
        reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
        return Unreachable(
            f"cannot reach {self.server}: {reason.lower()}; is `bgpsvc serve` running there? "
            "(--server or BGPSVC_SERVER name another address)"
        )


def _default_server() -> str:
    if os.access(DEFAULT_SOCKET, os.R_OK | os.W_OK):
        return f"unix:{DEFAULT_SOCKET}"
    return DEFAULT_SERVER


def _read_token(file: str | None) -> str | None:
    """The token of a file, else `$BGPSVC_TOKEN`. Its text never shows in a message."""
    if file is None:
        token, source = os.environ.get("BGPSVC_TOKEN") or None, "BGPSVC_TOKEN"
    else:
        try:
            token, source = _read_private(Path(file)).strip(), file
        except OSError as error:
            raise CliError(f"{file} cannot be read: {error.strerror}", 2) from None
        except UnicodeDecodeError:
            raise CliError(f"{file} holds no token", 2) from None
    if token is not None and not re.fullmatch(r"bgpsvc_[A-Za-z0-9]+\.[A-Za-z0-9_-]+", token):
        raise CliError(f"{source} holds no token: one looks like bgpsvc_ID.SECRET", 2)
    return token


def _read_private(path: Path) -> str:
    """The text of a file that is a secret; a warning if every user of the machine may read it."""
    with path.open() as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o004:
            print(
                f"bgpsvc: warning: every user may read the token in {path} (mode {mode:04o}); "
                f"run: chmod 600 {path}",
                file=sys.stderr,
            )
        return file.read()


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise CliError(f"{ca_file} holds no certificates in PEM form", 2) from None
    except OSError as error:
        raise CliError(f"{ca_file} cannot be read: {error.strerror}", 2) from None


def is_loopback(host: str) -> bool:
    """True for `localhost` and loopback addresses."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_host(host: str) -> bool:
    """True unless the socket library would refuse the name: empty, overlong or undecodable labels."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _problem(server: str, status: int, body: bytes, retry_after: str | None, with_token: bool) -> CliError:
    """A problem document as text: the detail, then each mistake on a line of its own, then what helps."""
    try:
        problem = json.loads(body)
        lines = [str(problem["detail"])]
        for error in problem.get("errors") or ():
            # The index of a repeated parameter tells nobody anything.
            place = error["pointer"].removeprefix("#").removeprefix("/").removesuffix("/0")
            lines.append(f"  {place}: {_mistake(error)}" if place else f"  {_mistake(error)}")
        # What the daemon does not understand was given wrongly here: the command sends nothing of its own.
        code = 2 if status == 422 else 1
        # One mistake needs no headline that counts it.
        text = lines[1].strip() if len(lines) == 2 else "\n".join(lines)
        advice = _advice(status, retry_after, with_token)
        return Refused(f"{text}; {advice}" if advice else text, code, status, problem)
    except (ValueError, KeyError, TypeError, AttributeError):
        return CliError(f"{server} does not answer like bgpsvc: status {status}")


def _mistake(error: Json) -> str:
    """One mistake: the value, what is wrong with it, what is allowed."""
    value = f"{error['value']!r}: " if error.get("value") is not None else ""
    allowed = f"; allowed: {error['allowed']}" if error.get("allowed") else ""
    return f"{value}{error['detail']}{allowed}"


def _advice(status: int, retry_after: str | None, with_token: bool) -> str | None:
    """What to do about a status that the daemon cannot explain to this user."""
    if status == 401 and with_token:
        return "it may have expired or been revoked: see `bgpsvc token list` on the daemon's machine"
    if status == 401:
        return (
            "give a token with --token-file or BGPSVC_TOKEN; "
            "`bgpsvc token create` makes one on the daemon's machine"
        )
    if status == 403:
        return "`bgpsvc token create --scope SCOPE` makes a token that may do more"
    if status == 429:
        return f"try again in {retry_after} s" if retry_after else "try again later"
    return None
