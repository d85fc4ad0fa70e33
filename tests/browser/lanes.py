"""Tunnels as the topology draws them."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

CARRIES = "carries traffic"
_WATCH = """
([selector, text]) => {
  const shown = () => document.querySelector(selector)?.innerText.includes(text);
  window.__shown = new Promise((done) => {
    const observer = new MutationObserver(() => {
      if (!shown()) return;
      observer.disconnect();
      done(Date.now());
    });
    observer.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
  });
  return !shown();
}
"""


def selector(tunnel: str) -> str:
    """The selector of a tunnel."""
    return f'[data-tunnel="{tunnel}"]'


def lane(page: Page, tunnel: str) -> Locator:
    """A tunnel."""
    return page.locator(selector(tunnel))


def watch(page: Page, tunnel: str) -> bool:
    """Have the page note when it first shows that a tunnel carries traffic; False if it shows so already."""
    return bool(page.evaluate(_WATCH, [selector(tunnel), CARRIES]))


def time_seen(page: Page) -> float:
    """When that was, in seconds since 1970; waits for it."""
    return float(page.evaluate("() => window.__shown")) / 1000
