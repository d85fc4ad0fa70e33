"""The production path, in a machine of its own: kernel ESP, XFRM interfaces, one charon per system."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import machine

CHECKS = machine.names("check_gateways.py") + machine.names("check_peer_configurations.py")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, machine.Outcome]:
    """The machine is booted once for all checks."""
    if not machine.tool().exists():
        pytest.skip(f"{machine.tool()} is missing: it boots a machine whose kernel has ESP")
    return machine.run(tmp_path_factory.mktemp("vm"))


@pytest.mark.timeout(machine.LIMIT_S + 600)  # building the machine's file system the first time counts too
@pytest.mark.parametrize("check", CHECKS)
def test_on_a_kernel_with_esp(check: str, outcomes: dict[str, machine.Outcome]) -> None:
    assert check in outcomes, f"the machine reports only {', '.join(outcomes)}"
    outcome = outcomes[check]
    print(outcome.printed)
    if outcome.failure is not None:
        pytest.fail(outcome.failure, pytrace=False)


def test_the_checks_are_found() -> None:
    assert len(CHECKS) > 5
    assert Path(machine.ROOT, machine.GUEST, "run").exists()
