"""A picture of a page: `python -m tests.browser.shots URL OUT.png [--width N] [--dark] [--full]`.

URL is the page's, as `http://127.0.0.1:8179/#/sessions`. BGPSVC_TOKEN in the environment signs in. What goes
wrong in the page is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from urllib.parse import urlsplit

from tests.browser.chromium import chromium
from tests.browser.tab import Tab


def main(arguments: list[str]) -> int:
    """Exit status 1 if anything went wrong in the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.shots", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out")
    parser.add_argument("--width", type=int, default=1440, help="of the page, in CSS pixels (390: a phone)")
    parser.add_argument("--dark", action="store_true", help="dark colour scheme")
    parser.add_argument("--full", action="store_true", help="the whole page, not what fits into the window")
    parser.add_argument("--click", action="append", default=[], help="click this first (CSS or text=...)")
    parser.add_argument("--expect", type=int, action="append", default=[], help="a status that is fine")
    parser.add_argument("--disk", action="store_true", help="with the files as they are now")
    options = parser.parse_args(arguments)
    url = urlsplit(options.url)
    with chromium() as browser:
        scheme = "dark" if options.dark else "light"
        tab = Tab(browser, f"{url.scheme}://{url.netloc}", width=options.width, scheme=scheme)
        for status in options.expect:
            tab.watch.expect(status, "")
        if options.disk:
            tab.from_disk()
        if token := os.environ.get("BGPSVC_TOKEN"):
            tab.token(token)
        tab.go(options.url.partition(url.netloc)[2].removeprefix("/"))
        for selector in options.click:
            tab.page.click(selector)
            tab.settle()
        tab.page.screenshot(path=options.out, full_page=options.full)
        problems = tab.watch.problems
        print("\n".join(problems) or f"{options.out}: nothing went wrong in the page", file=sys.stderr)
        tab.context.close()
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
