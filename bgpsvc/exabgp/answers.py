"""Answers of the launcher that somebody waits for: lines that begin with `#`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bgpsvc.exabgp.channel import ChannelClosed
from bgpsvc.model import Prefix, parse_prefix


@dataclass(frozen=True, slots=True)
class Reloaded:
    """ExaBGP read the configuration with this digest, and took it or did not."""

    taken: bool
    digest: str


@dataclass(slots=True)
class Answers:
    """By token, the next reload, and the Adj-RIB-Out listing that is being received."""

    tokens: dict[str, asyncio.Future[int]] = field(default_factory=dict)
    reload: asyncio.Future[Reloaded] | None = None
    listing: dict[tuple[str, str], set[Prefix]] = field(default_factory=dict)

    def fail(self) -> None:
        """Nothing of it will come: ChannelClosed for those who wait."""
        for future in self.tokens.values():
            if not future.done():
                future.set_exception(ChannelClosed("the relay is gone"))
        if self.reload is not None and not self.reload.done():
            self.reload.set_exception(ChannelClosed("the relay is gone"))
        self.tokens.clear()
        self.reload = None
        self.listing.clear()

    def hear(self, word: str, rest: list[str]) -> None:
        """A line's first word and the others. ValueError or IndexError if it is not whole."""
        if word == "#routes":
            self.listing.setdefault((rest[0], rest[1]), set()).update(map(parse_prefix, rest[2:]))
        elif word in ("#marked", "#routed"):
            count = int(rest[1]) if len(rest) > 1 else 0
            future = self.tokens.pop(rest[0], None)
            if future is not None and not future.done():
                future.set_result(count)
        elif word == "#reloaded":
            answer = Reloaded(rest[0] == "ok", rest[1])
            waiting, self.reload = self.reload, None
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
