"""The switch at work: moves the kernel's groups in as few datagrams as possible, and hears its word."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from bgpsvc.fib import codec
from bgpsvc.fib.nlsocket import Requester
from bgpsvc.fib.ops import SetGroup
from bgpsvc.guard.links import Links
from bgpsvc.guard.model import Refused
from bgpsvc.guard.switch import Move, Switch

PORTION = 100
"""Groups per datagram: the kernel takes about 0.1 ms for each, during which no BFD packet is sent."""


class Switching:
    """Netlink sockets of the caller's network namespace, and the rules. OSError if there are none."""

    def __init__(self) -> None:
        self._requester = Requester()
        self.switch = Switch()
        try:
            self.links = Links(self._requester)
        except BaseException:
            self._requester.close()
            raise
        self.look(set(self.links.groups))

    @property
    def ports(self) -> tuple[int, ...]:
        """Whose changes are the guard's own doing."""
        return (self._requester.port_id,)

    def look(self, groups: set[int]) -> None:
        """These groups lead elsewhere now, says the kernel."""
        for group in groups:
            self.switch.seen(group, self.links.groups.get(group))

    def move(self) -> tuple[list[Move], list[Refused]]:
        """Move what has to move now; what was moved, and what the kernel refused.

        A portion of it, if that is much: again while `switch.unsettled`.
        """
        moved: list[Move] = []
        refused: list[Refused] = []
        complete = False
        while not complete and (wanted := self.switch.moves(PORTION)):
            errors = self._apply(wanted)
            complete = True
            for move in wanted:
                code, text = errors.get(move.group, (0, ""))
                if not code:
                    self.switch.seen(move.group, move.nexthop)
                    moved.append(move)
                elif code == errno.ENOENT:
                    # The kernel took the group together with its device; the engine has it made anew.
                    self.switch.seen(move.group, None)
                else:
                    self.switch.refused(move)
                    refused.append(Refused(f"group {move.group:#x}", f"to {move.nexthop:#x}: {text}"))
                    complete = False  # there may be another place; with each refusal there is one less
        return moved, refused

    def _apply(self, moves: Sequence[Move]) -> dict[int, tuple[int, str]]:
        """Errors by group: number and text."""
        ops = [SetGroup(move.group, (move.nexthop,), existing=True) for move in moves]
        errors: dict[int, tuple[int, str]] = {}
        for batch in codec.batches(ops, self._requester.next_seq(len(ops))):
            for answer in self._requester.send(batch):
                op, _ = batch.blame(answer.seq)
                assert isinstance(op, SetGroup)
                errors[op.id] = (answer.errno, answer.text or os.strerror(answer.errno))
        return errors

    def close(self) -> None:
        """Close the sockets."""
        self.links.close()
        self._requester.close()
