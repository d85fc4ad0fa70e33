"""Every command of the documentation runs, where the page says, and prints what the page shows."""

from __future__ import annotations

import pytest

from tests.docs.checks import check
from tests.docs.places.shell import ROOT
from tests.docs.run import ELSEWHERE, pages, pages_with, places_of, read, run_place, units

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("page", pages())
def test_every_block_is_accounted_for(page: str) -> None:
    check(read(page))


@pytest.mark.parametrize(
    ("place", "these"), [pytest.param(*unit, id=f"{unit[0]}-{' '.join(unit[1])}") for unit in units()]
)
def test_the_commands_do_what_the_pages_say(place: str, these: tuple[str, ...]) -> None:
    for _ in run_place(place, these):
        pass


def test_every_place_of_every_page_is_in_a_unit() -> None:
    wanted = {(place, page) for page in pages() for place in places_of(page)}
    run_here = {(place, page) for place, these in units() for page in these}
    assert run_here | {(place, page) for place in ELSEWHERE for page in pages_with(place)} == wanted


def test_places_that_others_share_are_run_by_them() -> None:
    for place, file in ELSEWHERE.items():
        assert f'pages_with("{place}")' in (ROOT / file).read_text(encoding="utf-8")
