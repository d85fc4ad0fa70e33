"""Taking over what a former life left in the kernel.

After a start the routes that the kernel already has are held (`fib.plan`): nothing that may still be
right is rewritten or deleted before the sessions have told what they know. The hold ends for a table
without leftovers at once, for all when every session has sent End-of-RIB, and at the latest after
`SYNC_TIME`; what nobody wants then is swept. Only a table whose gateway has a session that waits to be reset
is held on: what the kernel has is all that is known of its routes (resetting.py).

Held routes over a tunnel that is down are not protected: from `DEAD_CHECK_TIME` on, which gives
every session the time to come back, they follow the live candidates.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from bgpsvc.effects import Effect, Log
from bgpsvc.fib.plan import Fib
from bgpsvc.fib.table import RouteTable
from bgpsvc.forwarding import Links
from bgpsvc.model import SessionId
from bgpsvc.session import Session
from bgpsvc.tunnels import Tunnel, TunnelState

SYNC_TIME = 60.0
"""Seconds after the start at which routes of a former life are swept, End-of-RIB or not."""
LOOK_AGAIN = 5.0
"""Seconds after which a table that was held on for longer is judged again."""
DEAD_CHECK_TIME = 10.0
"""Seconds after the start that a session gets before held routes over its tunnel lose protection."""


class Takeover:
    """The hold over all tables. Times are of the shell's clock."""

    def __init__(
        self,
        fib: Fib,
        tunnels: Mapping[SessionId, Tunnel],
        links: Links,
        outbox: list[Effect],
    ) -> None:
        self._fib = fib
        self._tunnels = tunnels
        self._links = links
        self._outbox = outbox
        self._sync_deadline: float | None = None
        self._dead_check: float | None = None

    def begin(self, now: float) -> None:
        """A table was added that the kernel may hold routes of."""
        self._sync_deadline = now + SYNC_TIME
        self._dead_check = now + DEAD_CHECK_TIME

    def loaded(self) -> None:
        """The mirror shows the kernel's state: a table without routes has nothing to hold or sweep."""
        for table in self._held():
            if not table.primary and not table.backup:
                self._fib.release(table)
        if not self._held():
            self._sync_deadline = self._dead_check = None
        elif not any(tunnel.settings.bgp for tunnel in self._tunnels.values()):
            self._release("no session has anything to tell")

    def _held(self) -> list[RouteTable]:
        return [table for table in self._fib.tables.values() if table.held]

    def synced(self, sessions: Iterable[Session]) -> None:
        """A session told its whole table; `sessions` are all there are."""
        if self._sync_deadline is None:
            return
        if all(s.established and s.all_families_ended for s in sessions):
            self._release("every session sent End-of-RIB")
        elif self._dead_check is None:
            self._mark_dead()

    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        return self._dead_check if self._dead_check is not None else self._sync_deadline

    def tick(self, now: float, unheard: Container[int] = ()) -> None:
        """Do what is due. `unheard` are numbers of tables with sessions that cannot tell their routes yet."""
        if self._dead_check is not None and now >= self._dead_check:
            self._dead_check = None
            self._mark_dead()
        if self._sync_deadline is not None and now >= self._sync_deadline:
            self._release(f"{SYNC_TIME:g} s after the start", unheard)
            if self._held():
                self._sync_deadline = now + LOOK_AGAIN

    def _mark_dead(self) -> None:
        down = {
            self._links[tunnel.interface][0]
            for tunnel in self._tunnels.values()
            if tunnel.state is TunnelState.DOWN and tunnel.interface in self._links
        }
        self._fib.mark_dead(self._fib.over_links(down))

    def _release(self, why: str, unheard: Container[int] = ()) -> None:
        self._sync_deadline = self._dead_check = None
        leftovers = 0
        released = [table for table in self._held() if table.table not in unheard]
        if not released:
            return
        for table in released:
            targets = table.desired(list(table.primary)).items()
            leftovers += sum(len(prefixes) for (group, _), prefixes in targets if group is None)
            self._fib.release(table)
        text = f"{why}: {leftovers} leftover routes are swept"
        self._outbox.append(Log("fib.sweep", "info", "fib", text, {"leftovers": leftovers}))
