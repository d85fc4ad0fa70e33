"""The if_id of each tunnel: what ties its XFRM interface to its policies and SAs in the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2s

from bgpsvc.model import SessionId

_OURS = 1 << 31
"""Set in all of ours: who numbers by hand begins at the other end."""


class IfIds:
    """32-bit numbers that follow from the tunnels' ids, so that a restarted daemon needs no record of them.

    A collision of two hashes takes the next free number. Which of the two got it depends on who came first:
    so what interfaces in the kernel have already counts more than the hash.
    """

    def __init__(self) -> None:
        self._ids: dict[SessionId, int] = {}
        self._foreign: frozenset[int] = frozenset()

    def found(self, ours: Mapping[SessionId, int], foreign: Iterable[int]) -> None:
        """These are in the kernel: ours stay as they are, others' are never given to a tunnel."""
        self._foreign = frozenset(foreign)
        self._ids = {tunnel: number for tunnel, number in ours.items() if number not in self._foreign}

    def of(self, tunnel: SessionId) -> int:
        """The number of a tunnel; the same until it is released."""
        if tunnel not in self._ids:
            taken = self._foreign.union(self._ids.values())
            number = _OURS | int.from_bytes(blake2s(tunnel.encode(), digest_size=4).digest(), "big")
            while number in taken:
                number = _OURS | (number + 1) & (_OURS - 1)
            self._ids[tunnel] = number
        return self._ids[tunnel]

    def release(self, tunnel: SessionId) -> None:
        """Its number is free again."""
        self._ids.pop(tunnel, None)
