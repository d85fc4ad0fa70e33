"""What operators chose at run time: it survives a restart.

The switch of a connection always is such a choice. `auto_propagate` is one only where a configuration
file describes the gateway: it is stored with the value that the file had then, and when the file's value
changes, the file wins and the choice is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from bgpsvc.control import Actor
from bgpsvc.model import SwitchMode
from bgpsvc.resources import Intent
from bgpsvc.store.records import AuditEntry
from bgpsvc.views import ChoiceView

PROPAGATE, SWITCH = "auto_propagate", "switch"
Stored = Mapping[tuple[str, str], Mapping[str, Any]]
Keys = tuple[tuple[str, str], ...]


class ChoiceStore(Protocol):
    """Where choices are kept."""

    async def set_choice(
        self, kind: str, name: str, value: Mapping[str, Any] | None, audit: AuditEntry
    ) -> None:
        """Store one choice (None forgets it) with its audit entry. Raises control.StoreUnavailable."""


class Choices:
    """The operators' choices; `stored` are those of former lives."""

    def __init__(self, store: ChoiceStore, stored: Stored, intent: Intent) -> None:
        self._store = store
        self._values = {key: dict(value) for key, value in stored.items()}
        self._file = intent

    def apply(self, intent: Intent) -> Intent:
        """A file's intent with the operators' choices of `auto_propagate` in place of the file's."""
        self._file = intent
        gateways = []
        for gateway in intent.vpn_gateways:
            choice = self._values.get((PROPAGATE, gateway.name))
            if choice is not None and choice["file"] == gateway.auto_propagate:
                gateways.append(gateway.model_copy(update={"auto_propagate": choice["chosen"]}))
            else:
                gateways.append(gateway)
        # Not model_copy: it would carry the old intent's cached lookups along.
        values = {key: getattr(intent, key) for key in Intent.model_fields}
        return Intent.model_construct(**values | {"vpn_gateways": tuple(gateways)})

    def modes(self) -> dict[str, SwitchMode]:
        """The operators' switches by connection."""
        return {
            name: SwitchMode(value["mode"]) for (kind, name), value in self._values.items() if kind == SWITCH
        }

    async def set_propagate(self, gateway: str, chosen: bool, actor: Actor) -> None:
        """Remember a choice; stored when this returns."""
        file_value = self._file.gateway(gateway).auto_propagate
        value = None if chosen == file_value else {"chosen": chosen, "file": file_value}
        old = self._values.get((PROPAGATE, gateway), {"chosen": file_value})["chosen"]
        audit = _entry(actor, "propagate", "vpn_gateways", gateway, {PROPAGATE: old}, {PROPAGATE: chosen})
        await self._set(PROPAGATE, gateway, value, audit)

    def choice(self, connection: str) -> ChoiceView | None:
        """Who switched a connection, when and what for; None if nobody did, or gave the choice back."""
        value = self._values.get((SWITCH, connection))
        if value is None:
            return None
        return ChoiceView(value.get("by"), value.get("at"), value.get("reason"))

    async def set_mode(
        self, connection: str, mode: SwitchMode, actor: Actor, reason: str | None = None
    ) -> None:
        """Remember a switch; stored when this returns."""
        now = time.time()
        chosen = {"mode": mode.value, "by": actor.name, "at": now, "reason": reason}
        value = None if mode is SwitchMode.AUTO else chosen
        await self._set(SWITCH, connection, value, self._switched(actor, connection, mode, reason))

    def _switched(
        self, actor: Actor, connection: str, mode: SwitchMode, reason: str | None = None
    ) -> AuditEntry:
        before = self._values.get((SWITCH, connection), {})
        old = {"mode": before.get("mode", SwitchMode.AUTO.value)}
        if before.get("reason") is not None:
            old["reason"] = before["reason"]
        new = {"mode": mode.value} if reason is None else {"mode": mode.value, "reason": reason}
        return _entry(actor, "switch", "vpn_connections", connection, old, new)

    def of_connections(self, names: Collection[str], actor: Actor) -> tuple[Keys, tuple[AuditEntry, ...]]:
        """What ends with connections that are deleted: keys, and audit entries of the choices that were made.

        For the transaction that deletes them: another one of that name begins without a choice.
        """
        audit = tuple(
            self._switched(actor, name, SwitchMode.AUTO) for name in names if (SWITCH, name) in self._values
        )
        return tuple((SWITCH, name) for name in names), audit

    def forgotten(self, keys: Keys) -> None:
        """That transaction is committed."""
        for key in keys:
            self._values.pop(key, None)

    async def forget_switch(self, connection: str, actor: Actor) -> None:
        """The connection is gone; stored when this returns."""
        audit = self._switched(actor, connection, SwitchMode.AUTO)
        await self._set(SWITCH, connection, None, audit)

    async def _set(self, kind: str, name: str, value: dict[str, Any] | None, audit: AuditEntry) -> None:
        await self._store.set_choice(kind, name, value, audit)
        if value is None:
            self._values.pop((kind, name), None)
        else:
            self._values[kind, name] = value


def _entry(
    actor: Actor, action: str, kind: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> AuditEntry:
    return AuditEntry(time.time(), actor.name, actor.source, action, kind, name, old, new)
