"""What operators chose at run time: it survives a restart, until the file says something new.

Each choice is stored with the value that the configuration file had then; when the file's value
changes, the file wins and the choice is forgotten.
"""

from __future__ import annotations

import errno
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
            try:
                stored: Mapping[str, Any] = json.loads(self._path.read_text())
                self._propagate = dict(stored.get("auto_propagate", {}))
                self._modes = dict(stored.get("switch", {}))
            except ValueError as error:
                text = f"{self._path} is damaged ({error}); remove it to forget what operators chose"
                raise OSError(errno.EINVAL, text) from None

    def apply(self, intent: Intent) -> Intent:
        """The intent with the operators' choices of `auto_propagate` in place of the file's."""
        gateways = []
        for gateway in intent.vpn_gateways:
            choice = self._propagate.get(gateway.name)
            if choice is not None and choice["file"] == gateway.auto_propagate:
                gateways.append(gateway.model_copy(update={"auto_propagate": choice["chosen"]}))
            else:
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
        """Remember a choice; on disk when this returns. OSError if it cannot be stored, and is not made."""
        choices = {name: choice for name, choice in self._propagate.items() if name != gateway}
        if chosen != file_value:
            choices[gateway] = {"chosen": chosen, "file": file_value}
        self._write(choices, self._modes)
        self._propagate = choices

    def set_mode(self, connection: str, mode: SwitchMode) -> None:
        """Remember a switch; on disk when this returns. OSError as above."""
        modes = {name: chosen for name, chosen in self._modes.items() if name != connection}
        if mode is not SwitchMode.AUTO:
            modes[connection] = mode.value
        self._write(self._propagate, modes)
        self._modes = modes

    def _write(self, propagate: Mapping[str, Mapping[str, bool]], modes: Mapping[str, str]) -> None:
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump({"auto_propagate": propagate, "switch": modes}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
