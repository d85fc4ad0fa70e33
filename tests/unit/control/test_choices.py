"""Operators' choices: stored before they count, until the file says something new."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bgpsvc.choices import SWITCH, Choices
from bgpsvc.control import Actor, Scope, StoreUnavailable
from bgpsvc.model import SwitchMode
from bgpsvc.resources import Intent, load
from bgpsvc.store.records import AuditEntry
from bgpsvc.views import ChoiceView

OPERATOR = Actor("token t1 (night shift)", Scope.OPERATE, "127.0.0.1")


class Rows:
    """A choice store."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.audit: list[AuditEntry] = []
        self.away = False

    async def set_choice(
        self, kind: str, name: str, value: Mapping[str, Any] | None, audit: AuditEntry
    ) -> None:
        if self.away:
            raise StoreUnavailable("the database is away")
        self.audit.append(audit)
        if value is None:
            self.values.pop((kind, name), None)
        else:
            self.values[kind, name] = value


def intent(propagate: bool) -> Intent:
    text = f"""
vpcs: [{{name: vpc1, cidrs: [10.0.0.0/16]}}]
vpn_gateways:
- {{name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3], auto_propagate: {str(propagate).lower()}}}
"""
    return load(text, "test").intent


def propagates(choices: Choices, file: Intent) -> bool:
    return choices.apply(file).gateway("gw1").auto_propagate


@pytest.mark.parametrize("of_file", [True, False])
def test_a_choice_outlives_the_daemon_until_the_file_changes(of_file: bool) -> None:
    rows, file = Rows(), intent(of_file)
    choices = Choices(rows, {}, file)
    asyncio.run(choices.set_propagate("gw1", not of_file, OPERATOR))
    assert propagates(choices, file) is not of_file
    later = Choices(rows, rows.values, file)
    assert propagates(later, file) is not of_file
    assert propagates(later, intent(not of_file)) is not of_file  # the file agrees now
    assert rows.audit[-1].old == {"auto_propagate": of_file}
    assert rows.audit[-1].new == {"auto_propagate": not of_file}
    assert rows.audit[-1].actor == "token t1 (night shift)"


def test_choosing_what_the_file_says_forgets_the_choice() -> None:
    rows, file = Rows(), intent(True)
    choices = Choices(rows, {}, file)
    asyncio.run(choices.set_propagate("gw1", False, OPERATOR))
    asyncio.run(choices.set_propagate("gw1", True, OPERATOR))
    assert rows.values == {}
    assert rows.audit[-1].old == {"auto_propagate": False}


def test_an_applied_intent_keeps_everything_else() -> None:
    file = intent(True)
    assert Choices(Rows(), {}, file).apply(file) == file


def test_switches_are_kept_and_go_with_their_connection() -> None:
    rows = Rows()
    choices = Choices(rows, {}, intent(True))
    asyncio.run(choices.set_mode("conn1", SwitchMode.STANDBY, OPERATOR))
    assert Choices(rows, rows.values, intent(True)).modes() == {"conn1": SwitchMode.STANDBY}
    keys, audit = choices.of_connections(["conn1", "conn2"], OPERATOR)
    assert keys == ((SWITCH, "conn1"), (SWITCH, "conn2"))
    assert [(entry.name, entry.old, entry.new) for entry in audit] == [
        ("conn1", {"mode": "standby"}, {"mode": "auto"})
    ]
    assert choices.modes() == {"conn1": SwitchMode.STANDBY}, "not yet"
    choices.forgotten(keys)
    assert choices.modes() == {}


def test_a_choice_says_who_when_and_what_for() -> None:
    rows = Rows()
    choices = Choices(rows, {}, intent(True))
    assert choices.choice("conn1") is None
    asyncio.run(choices.set_mode("conn1", SwitchMode.STANDBY, OPERATOR, "new router"))
    later = Choices(rows, rows.values, intent(True)).choice("conn1")
    assert later == choices.choice("conn1")
    assert later is not None
    assert (later.by, later.reason) == ("token t1 (night shift)", "new router")
    assert later.at is not None
    assert rows.audit[-1].new == {"mode": "standby", "reason": "new router"}
    asyncio.run(choices.set_mode("conn1", SwitchMode.AUTO, OPERATOR, "router is in"))
    assert choices.choice("conn1") is None
    assert rows.audit[-1].old == {"mode": "standby", "reason": "new router"}
    assert rows.audit[-1].new == {"mode": "auto", "reason": "router is in"}


def test_a_choice_that_an_older_release_stored_says_less() -> None:
    choices = Choices(Rows(), {(SWITCH, "conn1"): {"mode": "standby"}}, intent(True))
    assert choices.modes() == {"conn1": SwitchMode.STANDBY}
    assert choices.choice("conn1") == ChoiceView(None, None, None)


def test_a_switch_of_a_connection_that_is_gone_is_taken_back() -> None:
    rows = Rows()
    choices = Choices(rows, {}, intent(True))
    asyncio.run(choices.set_mode("conn1", SwitchMode.STANDBY, OPERATOR))
    asyncio.run(choices.forget_switch("conn1", OPERATOR))
    assert (choices.modes(), rows.values) == ({}, {})
    assert rows.audit[-1].new == {"mode": "auto"}


def test_what_cannot_be_stored_is_not_chosen() -> None:
    rows = Rows()
    choices = Choices(rows, {}, intent(True))
    rows.away = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(choices.set_mode("conn1", SwitchMode.STANDBY, OPERATOR))
    assert choices.modes() == {}
