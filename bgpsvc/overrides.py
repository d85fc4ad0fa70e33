"""What operators chose at run time: it survives a restart, until the file says something new.

Each choice is stored with the value that the configuration file had then; when the file's value
changes, the file wins and the choice is forgotten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bgpsvc.model import SwitchMode
from bgpsvc.resources import Intent


class Overrides:
    """Choices in `overrides.json` of the state directory; written atomically and synchronously."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "overrides.json"
        self._propagate: dict[str, dict[str, bool]] = {}
        self._modes: dict[str, str] = {}
        if self._path.exists():
            stored: Mapping[str, Any] = json.loads(self._path.read_text())
            self._propagate = dict(stored.get("auto_propagate", {}))
            self._modes = dict(stored.get("switch", {}))

    def apply(self, intent: Intent) -> Intent:
        """The intent with the operators' choices of `auto_propagate` in place of the file's."""
        gateways = []
        for gateway in intent.vpn_gateways:
            choice = self._propagate.get(gateway.name)
            if choice is not None and choice["file"] == gateway.auto_propagate:
                gateways.append(gateway.model_copy(update={"auto_propagate": choice["chosen"]}))
            else:
                self._propagate.pop(gateway.name, None)
                gateways.append(gateway)
        # Not model_copy: it would carry the old intent's cached lookups along.
        return Intent.model_construct(
            vpcs=intent.vpcs,
            vpn_gateways=tuple(gateways),
            customer_gateways=intent.customer_gateways,
            vpn_connections=intent.vpn_connections,
        )

    def modes(self) -> dict[str, SwitchMode]:
        """The operators' switches by connection."""
        return {name: SwitchMode(mode) for name, mode in self._modes.items()}

    def set_propagate(self, gateway: str, chosen: bool, file_value: bool) -> None:
        """Remember a choice; on disk when this returns."""
        if chosen == file_value:
            self._propagate.pop(gateway, None)
        else:
            self._propagate[gateway] = {"chosen": chosen, "file": file_value}
        self._write()

    def set_mode(self, connection: str, mode: SwitchMode) -> None:
        """Remember a switch; on disk when this returns."""
        if mode is SwitchMode.AUTO:
            self._modes.pop(connection, None)
        else:
            self._modes[connection] = mode.value
        self._write()

    def _write(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump({"auto_propagate": self._propagate, "switch": self._modes}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
