"""A browser for each folder of tests, and pages in it that fail the test when anything goes wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, expect

from tests.browser.chromium import PATIENCE_MS, chromium
from tests.browser.daemons import OpenSide, open_gateway
from tests.browser.tab import Tab

Tabs = Callable[..., Tab]
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium; each test has profiles of its own in it."""
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def gateway() -> Iterator[OpenSide]:
    """A daemon that lets in who has a token; tests leave it as they found it."""
    with open_gateway() as side:
        yield side


@pytest.fixture
def tabs(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Tabs]:
    """Makes pages: `tabs(url, width=390, scheme="dark")`. After the test each says what went wrong in it."""
    made: list[Tab] = []

    def make(url: str, **options: Any) -> Tab:
        made.append(Tab(browser, url, **options))
        return made[-1]

    with ExitStack() as stack:
        stack.callback(_close, made)
        yield make
        if request.node.stash.get(_FAILED, False):
            for tab in made:
                print(_told(tab))


def _close(made: list[Tab]) -> None:
    with ExitStack() as stack:
        for tab in made:
            stack.callback(tab.close)


def _told(tab: Tab) -> str:
    """What a page showed when a test failed, for the report."""
    try:
        shown = tab.page.locator("body").aria_snapshot(timeout=5000)
    except Error as error:
        shown = f"cannot be read: {error.message}"
    return f"{tab.page.url}\n{shown}"
