"""Debian's Chromium, driven by Playwright: it reaches nothing but loopback, and leaves nothing behind.

It lives in a network of its own (`passage.py`).

Playwright's own browsers are never downloaded. Profile, caches and temporary files are in a directory of
their own, which goes when the browser has ended, whatever happened meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from playwright.sync_api import Browser, sync_playwright

from tests.browser.passage import passage
from tests.e2e.marked import marked, new_mark
from tests.netns.namespaces import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Loopback too goes through the proxy.
    "--proxy-bypass-list=<-loopback>",
    # No name is ever looked up: a page that names a host elsewhere gets nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    # Where /dev/shm is as small as in containers, pages crash without it.
    "--disable-dev-shm-usage",
)
PATIENCE_MS = 60_000
"""Deadline for what takes a moment: the machine may be busy with others."""


def program() -> str:
    """The browser's path; AssertionError if there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name)) is not None), None)
    assert found is not None, f"none of {', '.join(NAMES)} found: scripts/system-packages test"
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser without windows."""
    with (
        tempfile.TemporaryDirectory(prefix="bgpsvc-browser-") as directory,
        contextlib.ExitStack() as stack,
    ):
        mark = new_mark()
        stack.callback(_end, mark, directory)
        name, _, value = mark.partition("=")
        home = {"HOME": directory, "XDG_CONFIG_HOME": directory, "XDG_CACHE_HOME": directory}
        # Playwright's driver and the browser have them from here; no other way leads there.
        with mock.patch.dict(os.environ, {name: value, "TMPDIR": directory, **home}):
            playwright = sync_playwright().start()
        stack.callback(playwright.stop)
        namespace, proxy = stack.enter_context(passage())
        start = Path(directory) / "start"
        command = shlex.join([*namespace.command(program())])
        start.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        start.chmod(0o700)
        browser = playwright.chromium.launch(
            executable_path=str(start),
            args=[*FLAGS, f"--proxy-server=socks5://127.0.0.1:{proxy}"],
            # Root cannot use the sandbox; nobody else's pages are shown.
            chromium_sandbox=False,
            timeout=PATIENCE_MS,
        )
        stack.callback(browser.close)
        yield browser


def _end(mark: str, directory: str) -> None:
    """End by force what a failure left: the driver, and the browser, which rewrites its environment."""

    def left() -> set[int]:
        return {*marked(mark), *_naming(directory)}

    for pid in left():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not left(), "the browser has ended")


def _naming(directory: str) -> Iterator[int]:
    """Processes with a path in their command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                if directory.encode() in (entry / "cmdline").read_bytes():
                    yield int(entry.name)
