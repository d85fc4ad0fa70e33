"""What the other tests rely on: a page in which something is wrong fails its test."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Tabs
from tests.browser.daemons import OpenSide
from tests.browser.keyboard import faults_of_tab_order
from tests.browser.looks import faults_of_looks
from tests.browser.tab import Tab

MISTAKES = {
    "console.error('spilt')": "console: spilt",
    "setTimeout(() => { throw new Error('dropped') })": "uncaught: dropped",
    "Promise.reject(new Error('forgotten'))": "uncaught: forgotten",
    "fetch('/v1/nowhere')": "404",
    "fetch('http://192.0.2.1/')": "CSP: connect-src",
    "document.body.setAttribute('style', 'color: red')": "CSP: style-src",
    "document.body.append(Object.assign(new Image(), {src: 'x'}))": "/x: 404",
    "document.body.insertAdjacentHTML('beforeend', '<b onclick=alert(1)>')": "CSP: script-src",
}
FAULTS = {
    "main { min-width: 500px }": "phone, light: wider than the screen: 500 of 390 px",
    "body { overflow-x: hidden }": "desktop, dark: wider than the screen: body hides it",
    "label { color: #777; background: #888 }": "phone, light: color-contrast",
    "@media (prefers-color-scheme: dark) { label { color: #777; background: #888 } }": "dark: color-contrast",
}
UNREACHED = {
    "document.styleSheets[0].insertRule(':focus { outline: 0 !important; box-shadow: none !important }')": (
        "the focus is not seen on inp"
    ),
    "document.querySelector('input').tabIndex = 5": "comes before all others",
    "document.addEventListener('keydown', (event) => event.preventDefault())": "Tab does not reach",
}
_INSERT = "(rule) => document.styleSheets[0].insertRule(rule, document.styleSheets[0].cssRules.length)"
_DELETE = "(index) => document.styleSheets[0].deleteRule(index)"


@pytest.fixture
def tab(gateway: OpenSide, tabs: Tabs) -> Tab:
    """The sign-in page, which has no fault."""
    made = tabs(gateway.url)
    made.watch.expect(401, "^/v1/whoami$")
    made.go()
    return made


def test_a_mistake_of_a_page_is_noticed(tab: Tab) -> None:
    for mistake, told in MISTAKES.items():
        tab.page.evaluate(f"() => {{ {mistake}; }}")
        tab.settle()
        tab.page.wait_for_timeout(100)
        assert any(told in problem for problem in tab.watch.problems), (mistake, tab.watch.problems)
        tab.watch.problems.clear()


def test_a_fault_in_the_looks_of_a_page_is_found(tab: Tab) -> None:
    assert not faults_of_looks(tab)
    for rule, told in FAULTS.items():
        index = tab.page.evaluate(_INSERT, rule)
        found = faults_of_looks(tab)
        assert any(told in fault for fault in found), (rule, found)
        tab.page.evaluate(_DELETE, index)


def test_what_the_keyboard_does_not_reach_is_found(tab: Tab) -> None:
    assert not faults_of_tab_order(tab.page)
    for mistake, told in UNREACHED.items():
        tab.page.evaluate(f"() => {{ {mistake}; }}")
        found = faults_of_tab_order(tab.page)
        assert any(told in fault for fault in found), (mistake, found)
