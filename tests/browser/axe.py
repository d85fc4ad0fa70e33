"""What axe-core finds in a page: faults that keep people with disabilities out (WCAG 2, best practices)."""

from __future__ import annotations

from collections.abc import Sequence

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

GRAVE = ("serious", "critical")
_RUN = """
async (rules) => {
  const options = {resultTypes: ['violations']};
  if (rules.length) options.runOnly = {type: 'rule', values: rules};
  const {violations} = await axe.run(document, options);
  return violations.flatMap(({id, impact, help, nodes}) => nodes.map(({html, failureSummary}) =>
    [impact, `${id} (${impact}): ${help}: ${html}\\n${failureSummary}`]));
}
"""


def grave_faults(page: Page, *rules: str) -> Sequence[str]:
    """Serious and critical faults, each with the element; of these rules only if any are given."""
    if page.evaluate("() => typeof axe === 'undefined'"):
        page.evaluate(AXE_SCRIPT)
    found: list[tuple[str, str]] = page.evaluate(_RUN, list(rules))
    return [text for impact, text in found if impact in GRAVE]
