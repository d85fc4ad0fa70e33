"""Text that somebody else wrote, a peer or an operator, is shown as text: nothing of it is obeyed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Tabs
from tests.browser.daemons import Lab
from tests.browser.lab.test_pages import PAGES

HOSTILE = '<img src=x onerror="window.__obeyed = 1"><script>window.__obeyed = 1</script>\'"&lt;b&gt;'
FREE_TEXT = {
    *("message", "detail", "title", "reason", "text", "description", "note", "what", "advice"),
    *("state_reason", "status_reason", "last_switchover_reason", "carrying_reason", "error", "last_error"),
}
"""Members of answers with words that come from peers, from the kernel, or from an operator."""
_OBEYED = """
() => window.__obeyed !== undefined || document.querySelector('img[src="x"], main script') !== null
"""


def poisoned(value: Any, key: str = "") -> Any:
    """An answer with hostile text wherever there is free text."""
    if isinstance(value, dict):
        return {name: poisoned(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, key) for item in value]
    return HOSTILE if isinstance(value, str) and key in FREE_TEXT else value


def poison(route: Route) -> None:
    """Answer a request with what the daemon answers, poisoned."""
    answer = route.fetch()
    route.fulfill(response=answer, body=json.dumps(poisoned(answer.json())))


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"unknown"}))
def test_words_of_others_are_shown_as_text(lab: Lab, tabs: Tabs, name: str) -> None:
    tab = tabs(lab.url)
    tab.page.route(lambda url: "/v1/" in url and "/stream" not in url, poison)
    page = tab.go(PAGES[name])
    assert not page.evaluate(_OBEYED)


def test_a_hostile_reason_of_an_operator_is_kept_and_shown(lab: Lab, tabs: Tabs) -> None:
    path = "/v1/vpn-connections/conn1/switch"
    lab.rest.write("POST", path, {"mode": "active", "reason": HOSTILE})
    try:
        page: Page = tabs(lab.url).go("#/connections/conn1")
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert not page.evaluate(_OBEYED)
    finally:
        lab.rest.write("POST", path, {"mode": "auto"})
