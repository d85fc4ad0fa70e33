"""The containers, shared by all that looks at them: building and starting takes longer than the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.compose_lab import ComposeLab, compose_command, compose_lab


@pytest.fixture(scope="package")
def lab() -> Iterator[ComposeLab]:
    """The lab of compose.yaml, all healthy. Tests leave it with both tunnels up and tunnel 1 in use."""
    command = compose_command()
    if not command:
        pytest.skip("no container engine with compose")
    with compose_lab(command) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Building the image counts into the first test's time."""
    for item in items:
        if "browser/compose" in item.nodeid:
            item.add_marker(pytest.mark.timeout(1800))
