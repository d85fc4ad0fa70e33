"""What the words of all platforms have in common: looking them up, saying that there is none. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bgpsvc.peerconfig.facts import TunnelFacts

Helpers = Mapping[str, Callable[..., Any]]


class Unsupported(ValueError):
    """A platform cannot do what the connection asks for. `what` is the setting, as `IKE encryption des`,
    `where` the tunnel or connection, `allowed` what the platform can do instead."""

    def __init__(self, what: str, where: str, allowed: str) -> None:
        super().__init__(f"{where}: {what} is not possible there; allowed: {allowed}")
        self.what, self.where, self.allowed = what, where, allowed


def pick(table: Mapping[str, str], value: str, setting: str, tunnel: TunnelFacts) -> str:
    """The platform's word for a value of ours; Unsupported if its table has none.

    `setting` is for the error: `IKE encryption`.
    """
    try:
        return table[value]
    except KeyError:
        raise Unsupported(f"{setting} {value}", f"tunnel {tunnel.number}", ", ".join(table)) from None
