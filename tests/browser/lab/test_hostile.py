"""Text that somebody else wrote, a peer or an operator, is shown as text: nothing of it is obeyed."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from tests.browser.conftest import Tabs
from tests.browser.daemons import Lab
from tests.browser.lab.test_pages import PAGES

HOSTILE = '<img src=x onerror="window.__obeyed = 1"><script>window.__obeyed = 1</script>\'"&lt;b&gt;'
FREE_TEXT = (
    *("message", "detail", "title", "reason", "text", "summary", "evidence", "remedy", "note", "value"),
    *("state_reason", "status_reason", "last_switchover_reason", "last_error", "error", "read_only_reason"),
)
"""Members of answers with words that come from peers, from the kernel, or from an operator."""
SHOWN = ("tunnel", "events", "diagnosis")
"""Pages that show such words in every state of the lab."""
_POISON = """
(() => {
  const [hostile, members] = %s;
  const poisoned = (value, key) => {
    if (Array.isArray(value)) return value.map((item) => poisoned(item, key));
    if (value && typeof value === 'object')
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, poisoned(item, name)]));
    return typeof value === 'string' && members.includes(key) ? hostile : value;
  };
  const real = window.fetch;
  window.fetch = async (...given) => {
    const answer = await real(...given);
    if (!answer.headers.get('content-type')?.includes('json')) return answer;
    const {status, headers} = answer;
    return new Response(JSON.stringify(poisoned(await answer.json())), {status, headers});
  };
})()
"""
_OBEYED = """
() => window.__obeyed !== undefined || document.querySelector('img[src="x"], main script') !== null
"""


def test_words_of_others_are_shown_as_text(lab: Lab, tabs: Tabs) -> None:
    tab = tabs(lab.url)
    page = tab.page
    page.add_init_script(_POISON % json.dumps([HOSTILE, FREE_TEXT]))
    for name, route in PAGES.items():
        tab.go(route)
        if name in SHOWN:
            expect(page.get_by_text(HOSTILE).filter(visible=True).first).to_be_visible()
        assert not page.evaluate(_OBEYED), name


def test_a_hostile_reason_of_an_operator_is_kept_and_shown(lab: Lab, tabs: Tabs) -> None:
    path = "/v1/vpn-connections/conn1/switch"
    lab.rest.write("POST", path, {"mode": "active", "reason": HOSTILE})
    try:
        page = tabs(lab.url).go("#/connections/conn1")
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert not page.evaluate(_OBEYED)
    finally:
        lab.rest.write("POST", path, {"mode": "auto"})


def test_words_without_a_place_to_break_widen_no_page(lab: Lab, tabs: Tabs) -> None:
    tab = tabs(lab.url, width=390)
    tab.page.add_init_script(_POISON % json.dumps(["A" * 200, FREE_TEXT]))
    for name, route in PAGES.items():
        assert tab.go(route).evaluate("document.documentElement.scrollWidth") == 390, name
