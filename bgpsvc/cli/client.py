"""The command line's HTTP client: small, so that a command starts in a fraction of a second.

Speaks to loopback or a unix socket only, one request per connection. Every failure becomes a
`CliError` with one clear line; problem documents (RFC 9457) are told in full.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from bgpsvc.cli.errors import CliError

DEFAULT_SERVER = "http://127.0.0.1:8179"
DEFAULT_PORT = 8179
PAGE = 1000
TIMEOUT = 30.0

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


class Client:
    """Requests to one server, given as `http://HOST[:PORT]`, `HOST:PORT` or `unix:/PATH`."""

    def __init__(self, server: str | None) -> None:
        self.server = server or os.environ.get("BGPSVC_SERVER") or DEFAULT_SERVER
        self._path: str | None = None
        self._host, self._port = "localhost", DEFAULT_PORT
        if self.server.startswith("unix:"):
            self._path = "/" + self.server.removeprefix("unix:").lstrip("/")
            return
        text = self.server if "://" in self.server else f"http://{self.server}"
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise CliError(f"{self.server!r} is not a server: {error}", 2) from None
        if url.scheme != "http" or not host or url.path not in ("", "/"):
            raise CliError(f"{self.server!r} is not a server: give http://ADDRESS:PORT or unix:/PATH", 2)
        if not _is_host(host):
            raise CliError(f"{self.server!r} is not a server: {host!r} is not a name of a host", 2)
        self._host, self._port = host, port or DEFAULT_PORT

    def get(self, path: str, params: Params | None = None) -> Json:
        """A resource as a JSON object."""
        return self._json("GET", path, params)

    def send(self, method: str, path: str, body: Json, params: Params | None = None) -> Json:
        """The JSON answer to a JSON body."""
        return self._json(method, path, params, json.dumps(body).encode())

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

    def events(self, after: int | None, kinds: Sequence[str]) -> Iterator[Json]:
        """The event stream, without end; a silent server is noticed by its missing keep-alives."""
        params: Json = {"kind": list(kinds)}
        if after is not None:
            params["after"] = after
        connection, response = self._request("GET", "/v1/events/stream", params)
        try:
            while line := response.readline():
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
        except (OSError, HTTPException) as error:
            raise self._lost(error) from None
        finally:
            connection.close()
        raise CliError(f"{self.server} has ended the event stream")

    def _json(self, method: str, path: str, params: Params | None, body: bytes | None = None) -> Json:
        connection, response = self._request(method, path, params, body)
        try:
            answer = json.loads(response.read())
        except ValueError:
            raise CliError(f"{self.server} does not answer like bgpsvc: what it sent is not JSON") from None
        except (OSError, HTTPException) as error:
            raise self._lost(error) from None
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise CliError(f"{self.server} does not answer like bgpsvc")
        return answer

    def _request(
        self, method: str, path: str, params: Params | None, body: bytes | None = None
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """An answered request; the caller closes the connection. CliError for problems."""
        connection = (
            _UnixConnection(self._path, TIMEOUT)
            if self._path
            else HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        )
        given = {name: value for name, value in (params or {}).items() if value is not None}
        target = path + (f"?{urlencode(given, doseq=True)}" if given else "")
        headers = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            if response.status < 400:
                return connection, response
            problem = response.read()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._lost(error) from None
        connection.close()
        raise _problem(self.server, response.status, problem)

    def _lost(self, error: Exception) -> CliError:
        if isinstance(error, TimeoutError):
            return CliError(f"{self.server} does not answer within {TIMEOUT:g} s")
        reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
        return CliError(
            f"cannot reach {self.server}: {reason.lower()}; is `bgpsvc serve` running there? "
            "(--server or BGPSVC_SERVER name another address)"
        )


def _is_host(host: str) -> bool:
    """True unless the socket library would refuse the name: empty, overlong or undecodable labels."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _problem(server: str, status: int, body: bytes) -> CliError:
    """A problem document as text: the detail, then each mistake on a line of its own."""
    try:
        problem = json.loads(body)
        lines = [str(problem["detail"])]
        for error in problem.get("errors", ()):
            # The index of a repeated parameter tells nobody anything.
            place = error["pointer"].removeprefix("#").removeprefix("/").removesuffix("/0")
            lines.append(f"  {place}: {error['detail']}" if place else f"  {error['detail']}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return CliError(f"{server} does not answer like bgpsvc: status {status}")
    # What the daemon does not understand was given wrongly here: the command sends nothing of its own.
    code = 2 if status == 422 else 1
    # One mistake needs no headline that counts it.
    return CliError(lines[1].strip() if len(lines) == 2 else "\n".join(lines), code)
