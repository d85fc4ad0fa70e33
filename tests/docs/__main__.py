"""`python -m tests.docs PAGE…`: run the commands of pages and show what they print. Needs root."""

from __future__ import annotations

import argparse
import sys
import time

from tests.docs.blocks import Mistake
from tests.docs.checks import check
from tests.docs.run import Wrong, page_name, pages, places_of, read, run_place


def main() -> int:
    """0 if every page is true, 1 if one is not; without pages all of them are read, and none is run."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("page", nargs="*")
    parser.add_argument("--place", help="only the blocks of this place")
    parser.add_argument("--quiet", action="store_true", help="only what is wrong")
    options = parser.parse_args()
    wrong = 0
    for page in [page_name(argument) for argument in options.page] or pages():
        try:
            found = read(page)
            check(found)
            for place in places_of(page) if options.page else []:
                if options.place in (None, place):
                    _run(page, place, quiet=options.quiet)
        except (Mistake, Wrong) as error:
            wrong += 1
            print(error, file=sys.stderr)
    return 1 if wrong else 0


def _run(page: str, place: str, *, quiet: bool) -> None:
    began = time.monotonic()
    count = 0
    for ran in run_place(place, [page]):
        count += 1
        if not quiet:
            print(f"[{ran.place}] {ran.line}: $ {ran.command}\n{ran.output}", flush=True)
    print(f"{page} [{place}]: {count} commands in {time.monotonic() - began:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
