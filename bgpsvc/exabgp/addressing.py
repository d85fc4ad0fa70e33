"""Finds the session that a command names without asking all of them.

ExaBGP matches each command against the names of all sessions with two regular expressions, and looks for
each route through all of them: among 500 sessions a command takes milliseconds, and each session has some
when it comes up. Only the launcher installs this, in the speaker's process.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from exabgp.configuration.configuration import _Configuration
from exabgp.reactor.api.command import announce, limit

_ORIGINAL_MATCH = limit.match_neighbors


def match_neighbors(peers: Iterable[str], descriptions: list[list[str]]) -> list[str]:
    """In place of ExaBGP's. Our commands begin with `neighbor PEER local-ip LOCAL`, as the names do."""
    if len(descriptions) == 1 and [part.split(" ")[0] for part in descriptions[0]] == [
        "neighbor",
        "local-ip",
    ]:
        head = " ".join(descriptions[0]) + " "
        return [name for name in peers if name.startswith(head)]
    return list(_ORIGINAL_MATCH(peers, descriptions))


def _only_the_named(original: Any) -> Any:
    def inject(configuration: Any, peers: Iterable[str], what: Any) -> bool:
        every = configuration.neighbors
        configuration.neighbors = {name: every[name] for name in peers if name in every}
        try:
            return bool(original(configuration, peers, what))
        finally:
            configuration.neighbors = every

    return inject


def install() -> None:
    """Once per process, before ExaBGP starts."""
    announce.match_neighbors = match_neighbors
    _Configuration.inject_change = _only_the_named(_Configuration.inject_change)
    _Configuration.inject_eor = _only_the_named(_Configuration.inject_eor)
    _Configuration.inject_refresh = _only_the_named(_Configuration.inject_refresh)
