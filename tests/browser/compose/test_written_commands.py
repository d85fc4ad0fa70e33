"""The pages' commands for the containers, last: pages begin with `docker compose up`, and end with `down`."""

from __future__ import annotations

import pytest

from tests.docs.places.containers import beside
from tests.docs.run import pages_with, read, run_blocks
from tests.e2e.compose_lab import ComposeLab


@pytest.mark.parametrize("page", pages_with("compose"))
def test_the_commands_do_what_the_page_says(page: str, lab: ComposeLab) -> None:
    with beside(lab) as shell:
        for _ in run_blocks(
            shell, [block for block in read(page) if block.runs and block.place == "compose"]
        ):
            pass
