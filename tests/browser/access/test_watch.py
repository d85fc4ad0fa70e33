"""What the other tests rely on: a page in which something goes wrong fails its test."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Tabs
from tests.browser.daemons import OpenSide


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
