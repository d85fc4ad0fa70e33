"""Waiting for a change: what counts as done, in how many requests, and what is said meanwhile."""

from __future__ import annotations

from typing import cast

import pytest

from bgpsvc.cli import settle
from bgpsvc.cli.client import Client, Json, Refused
from bgpsvc.cli.errors import CliError

REASON = "on its way into kernel and BGP speakers"


class Slow:
    """A daemon whose resources are done after so many looks; `too_often` looks are refused before."""

    def __init__(self, looks: int, *, deleted: bool = False, too_often: int = 0) -> None:
        self.looks = looks
        self.deleted = deleted
        self.too_often = too_often
        self.asked: list[str] = []

    def _look(self, path: str, name: str) -> Json | None:
        self.asked.append(path)
        if self.too_often:
            self.too_often -= 1
            raise Refused("too many requests", 1, 429, {})
        self.looks -= 1
        if self.looks < 0:
            return None if self.deleted else {"name": name, "status": "active", "status_reason": None}
        status = "deleting" if self.deleted else "updating"
        return {"name": name, "status": status, "status_reason": REASON}

    def get(self, path: str) -> Json:
        found = self._look(path, path.rpartition("/")[2])
        if found is None:
            raise Refused("there is none", 1, 404, {})
        return found

    def items(self, path: str) -> list[Json]:
        found = [self._look(path, f"vpc{number}") for number in range(20)]
        return [item for item in found if item is not None]


def resources(count: int, action: str = "update") -> list[Json]:
    return [{"kind": "vpcs", "name": f"vpc{number}", "action": action} for number in range(count)]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(settle, "TOO_OFTEN_SECONDS", 0.0)


def wait(daemon: Slow, what: list[Json], timeout: float = 10.0) -> None:
    settle.wait_until_done(cast(Client, daemon), what, timeout)


@pytest.mark.parametrize("deleted", [False, True])
def test_it_waits_until_all_are_active_or_gone(deleted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = Slow(3, deleted=deleted)
    wait(daemon, resources(1, "delete" if deleted else "update"))
    status = "deleting" if deleted else "updating"
    # The same progress is said once.
    assert (
        capsys.readouterr().err == f"waiting for 1 of 1: VPC vpc0 is {status}: {REASON}\ndone: 1 resource\n"
    )
    assert len(daemon.asked) == 4


def test_what_is_active_already_is_not_asked_for_again() -> None:
    daemon = Slow(1)
    wait(daemon, resources(3))
    assert daemon.asked == ["/v1/vpcs/vpc0", "/v1/vpcs/vpc1", "/v1/vpcs/vpc2", "/v1/vpcs/vpc0"]


def test_many_are_looked_for_in_lists() -> None:
    daemon = Slow(0)
    wait(daemon, resources(settle.ONE_BY_ONE + 1))
    assert set(daemon.asked) == {"/v1/vpcs"}


def test_being_asked_to_wait_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    wait(Slow(0, too_often=2), resources(1))
    assert capsys.readouterr().err == "done: 1 resource\n"
    with pytest.raises(CliError, match="too many requests"):
        wait(Slow(0, too_often=2), resources(1), timeout=0)


def test_what_is_stuck_is_named_up_to_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "SHOWN", 2)
    with pytest.raises(CliError) as stuck:
        wait(Slow(1000), resources(4), timeout=0)
    lines = str(stuck.value).splitlines()
    assert lines[0] == "stored, but not done after 0 s; it goes on:"
    assert lines[1:] == [f"  VPC vpc{n} is updating: {REASON}" for n in (0, 1)] + ["  and 2 more"]
