"""A page of the dashboard under watch: what goes wrong in it unnoticed fails the test.

That is: an uncaught exception, an error in the console, a violation of the content security policy, a
request that failed or was answered with an error, and any request to somewhere else than the daemon.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Response,
    Route,
)

from tests.browser.chromium import PATIENCE_MS

WEB = Path(__file__).resolve().parents[2] / "api" / "web"
WIDTHS = {"phone": 390, "desktop": 1440}
HEIGHTS = {390: 844, 1440: 900}
STREAM = "/v1/events/stream"
Scheme = Literal["light", "dark"]

_QUIET = """
() => new Promise((done) => {
  let timer;
  const observer = new MutationObserver(() => again());
  const end = () => { observer.disconnect(); done(); };
  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(() => document.querySelector('[aria-busy="true"]') ? again() : end(), 60);
  };
  observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
  again();
  setTimeout(end, 2000);
})
"""
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_VIOLATIONS = """
document.addEventListener('securitypolicyviolation', (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


class Watch:
    """Collects what goes wrong in a page; `problems` in the order of happening."""

    def __init__(self, page: Page, origin: str) -> None:
        self.problems: list[str] = []
        self.pending: set[Request] = set()
        self._origin = origin
        self._expected: list[tuple[int, re.Pattern[str]]] = []
        self._unreachable = False
        page.add_init_script(_VIOLATIONS)
        page.on("console", self._console)
        page.on("pageerror", self._uncaught)
        page.on("request", self._request)
        page.on("requestfinished", self._finished)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)
        page.on("crash", lambda _: self.problems.append("the page crashed"))

    def expect(self, status: int, path: str) -> None:
        """An error status that the test provokes is no mistake of the page; `path`: a regular expression."""
        self._expected.append((status, re.compile(path)))

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Meanwhile the daemon may be gone."""
        self._unreachable = True
        try:
            yield
        finally:
            self._unreachable = False

    def check(self) -> None:
        """AssertionError with all problems."""
        assert not self.problems, "\n".join(self.problems)

    def _console(self, message: ConsoleMessage) -> None:
        # What could not be loaded is told twice: with more detail by the request itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(f"console: {message.text} ({message.location})")

    def _uncaught(self, error: Error) -> None:
        self.problems.append(f"uncaught: {error.message}\n{error.stack}")

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob", "about") and f"{url.scheme}://{url.netloc}" != self._origin:
            self.problems.append(f"a request elsewhere: {request.url}")
        if url.path != STREAM:
            self.pending.add(request)

    def _finished(self, request: Request) -> None:
        self.pending.discard(request)

    def _failed(self, request: Request) -> None:
        self.pending.discard(request)
        # A page aborts what it needs no longer; a navigation aborts everything.
        if not self._unreachable and request.failure != "net::ERR_ABORTED":
            self.problems.append(f"{request.method} {request.url} failed: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status < 400:
            return
        # Nobody may care for its body, without which it never counts as finished.
        self.pending.discard(response.request)
        if self._unreachable:
            return
        path = urlsplit(response.url).path
        if not any(status == response.status and where.search(path) for status, where in self._expected):
            self.problems.append(f"{response.request.method} {response.url}: {response.status}")


class Tab:
    """A page at a daemon. `go` to a route, then use `page`; `close` tells what went wrong."""

    def __init__(
        self, browser: Browser, url: str, *, width: int = 1440, scheme: Scheme = "light", **context: Any
    ) -> None:
        """`url`: the daemon's address. `context`: more of what Playwright's new_context takes."""
        self.url = url
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": HEIGHTS.get(width, 900)},
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
            **context,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.watch = Watch(self.page, url)

    def token(self, token: str) -> None:
        """Have every page of this tab signed in."""
        self.page.add_init_script(f"sessionStorage.setItem('bgpsvc.token', {json.dumps(token)})")

    def from_disk(self) -> None:
        """Take the dashboard's files as they are now; the daemon has those of its start."""

        def answer(route: Route) -> None:
            path = WEB / urlsplit(route.request.url).path.partition("/assets/")[2]
            route.fulfill(path=path) if path.is_file() else route.fulfill(status=404)

        self.page.route("**/assets/**", answer)

    def go(self, route: str = "#/") -> Page:
        """Show a route, as `#/sessions`, and wait until it is there."""
        self.page.goto(f"{self.url}/{route}")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Until nothing is asked for any more and the page has stopped to change, or changes all the time."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        self.page.evaluate(_QUIET)
        while self.watch.pending:
            waiting = [request.url for request in self.watch.pending]
            assert time.monotonic() < deadline, f"no answer to {', '.join(waiting)}"
            self.page.evaluate(_QUIET)

    def look(self, *, width: int | None = None, scheme: Scheme | None = None) -> None:
        """Another width or colour scheme of the same page."""
        if width is not None:
            self.page.set_viewport_size({"width": width, "height": HEIGHTS.get(width, 900)})
        if scheme is not None:
            self.page.emulate_media(color_scheme=scheme)
        self.page.evaluate(_DRAWN)

    def close(self) -> None:
        """Close the page. AssertionError if anything went wrong in it."""
        self.context.close()
        self.watch.check()
