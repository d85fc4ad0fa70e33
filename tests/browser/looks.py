"""A page in every look: on a phone and on a desk, by day and by night."""

from __future__ import annotations

from collections.abc import Sequence

from tests.browser.axe import grave_faults
from tests.browser.tab import WIDTHS, Tab

_OVERFLOW = """
() => {
  const root = document.scrollingElement;
  const hides = [document.documentElement, document.body]
    .filter((e) => ['hidden', 'clip'].includes(getComputedStyle(e).overflowX))
    .map((e) => `${e.localName} hides it`);
  if (root.scrollWidth <= root.clientWidth) return hides;
  const wide = [...document.querySelectorAll('body *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 200));
  return [`${root.scrollWidth} of ${root.clientWidth} px`, ...wide.slice(-3)];
}
"""


def faults_of_looks(tab: Tab) -> Sequence[str]:
    """What is wrong with the page that is shown: wider than the screen, or a grave fault to axe."""
    found: list[str] = []
    for device, width in WIDTHS.items():
        for scheme in ("light", "dark"):
            tab.look(width=width, scheme=scheme)
            told = [f"wider than the screen: {text}" for text in tab.page.evaluate(_OVERFLOW)]
            # Only colours depend on the scheme, and they do not on the width.
            if scheme == "light":
                told += grave_faults(tab.page)
            elif device == "desktop":
                told += grave_faults(tab.page, "color-contrast")
            found += [f"{device}, {scheme}: {text}" for text in told]
    return found
