"""What the other tests rely on: a page in which something is wrong fails its test."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Tabs
from tests.browser.daemons import OpenSide
from tests.browser.keyboard import faults_of_tab_order
from tests.browser.looks import faults_of_looks


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("console.error('spilt')", "console: spilt"),
        ("setTimeout(() => { throw new Error('dropped') })", "uncaught: dropped"),
        ("Promise.reject(new Error('forgotten'))", "uncaught: forgotten"),
        ("fetch('/v1/nowhere')", "404"),
        ("fetch('http://192.0.2.1/')", "CSP: connect-src"),
        ("document.body.setAttribute('style', 'color: red')", "CSP: style-src"),
        ("document.body.innerHTML += '<img src=x onerror=alert(1)>'", "/x: 404"),
        ("document.querySelector('form').innerHTML = '<button onclick=alert(1)>'", "CSP: script-src"),
    ],
)
def test_a_mistake_of_a_page_is_noticed(gateway: OpenSide, tabs: Tabs, mistake: str, told: str) -> None:
    tab = tabs(gateway.url)
    tab.watch.expect(401, "^/v1/whoami$")
    tab.go()
    tab.page.evaluate(f"() => {{ {mistake}; }}")
    tab.settle()
    tab.page.wait_for_timeout(100)
    assert any(told in problem for problem in tab.watch.problems), tab.watch.problems
    tab.watch.problems.clear()


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("main { min-width: 500px }", "phone, light: wider than the screen: 500 of 390 px"),
        ("body { overflow-x: hidden }", "desktop, dark: wider than the screen: body hides it"),
        ("label { color: #777; background: #888 }", "phone, light: color-contrast"),
        ("@media (prefers-color-scheme: dark) { label { color: #777; background: #888 } }", "dark: color-co"),
        (":focus { outline: none !important; box-shadow: none !important }", "the focus is not seen on inp"),
    ],
)
def test_a_fault_in_the_looks_of_a_page_is_found(gateway: OpenSide, tabs: Tabs, rule: str, told: str) -> None:
    tab = tabs(gateway.url)
    tab.watch.expect(401, "^/v1/whoami$")
    page = tab.go()
    assert not [*faults_of_looks(tab), *faults_of_tab_order(page)]
    page.evaluate(
        "(rule) => document.styleSheets[0].insertRule(rule, document.styleSheets[0].cssRules.length)", rule
    )
    found = [*faults_of_looks(tab), *faults_of_tab_order(page)]
    assert any(told in fault for fault in found), found


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("document.addEventListener('keydown', (event) => event.preventDefault())", "Tab does not reach"),
        ("document.querySelector('input').tabIndex = 5", "comes before all others"),
    ],
)
def test_what_the_keyboard_does_not_reach_is_found(
    gateway: OpenSide, tabs: Tabs, mistake: str, told: str
) -> None:
    tab = tabs(gateway.url)
    tab.watch.expect(401, "^/v1/whoami$")
    page = tab.go()
    page.evaluate(f"() => {{ {mistake}; }}")
    found = faults_of_tab_order(page)
    assert any(told in fault for fault in found), found
