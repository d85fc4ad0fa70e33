"""A page without a mouse: where Tab leads, and whether one sees it."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.sync_api import Page

_FOLLOW = """
() => {
  const seen = window.__focused = [];
  const words = (e) => (e.ariaLabel || e.innerText || e.name || '').trim();
  const name = (e) => `${e.localName}${e.id && '#' + e.id} "${words(e)}"`;
  // Tab has to reach one of a group of radio buttons; arrow keys reach the others.
  const group = (e) => e.type === 'radio' ? `radio ${e.name}` : null;
  const shown = (e) => e.checkVisibility({visibilityProperty: true}) && !e.closest('[inert]');
  const stops = [...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex], [contenteditable]')]
    .filter((e) => e.tabIndex >= 0 && !e.disabled && e.type !== 'hidden' && shown(e));
  window.__stops = [...new Map(stops.map((e) => [group(e) ?? e, e])).values()];
  window.__name = name;
  window.__group = group;
  document.addEventListener('focusin', ({target}) => {
    const style = getComputedStyle(target);
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    const visible = outlined || style.boxShadow !== 'none';
    seen.push({target, visible: visible || target.tabIndex < 0});
  });
  document.activeElement?.blur();
  return window.__stops.length;
}
"""
_MISSED = """
() => {
  const reached = new Set(window.__focused.map(({target}) => window.__group(target) ?? target));
  const missed = window.__stops.filter((e) => e.isConnected && !reached.has(window.__group(e) ?? e));
  const unseen = window.__focused.filter(({visible}) => !visible).map(({target}) => target);
  return [
    ...missed.map((e) => `Tab does not reach ${window.__name(e)}`),
    ...[...new Set(unseen)].map((e) => `the focus is not seen on ${window.__name(e)}`),
    ...[...document.querySelectorAll('[tabindex]')].filter((e) => e.tabIndex > 0)
      .map((e) => `${window.__name(e)} comes before all others`),
  ];
}
"""


def faults_of_tab_order(page: Page) -> Sequence[str]:
    """What Tab does not reach from the top of the page, and where the focus is not to be seen."""
    stops: int = page.evaluate(_FOLLOW)
    for _ in range(stops + 2):
        page.keyboard.press("Tab")
    return list(page.evaluate(_MISSED))
