"""Whether a tunnel is up, since when and why; each change is told once. Pure; time is an argument."""

from __future__ import annotations

from typing import Literal

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged
from bgpsvc.ipsec.actions import Output
from bgpsvc.ipsec.model import IkeSa, IpsecStatus
from bgpsvc.model import SessionId
from bgpsvc.views import EventKind


class Standing:
    """What was told of one tunnel."""

    def __init__(self, tunnel: SessionId, interface: str, now: float) -> None:
        self.up: bool | None = None
        """As told last; None if nothing was yet."""
        self.waits = False
        """It was told that only traffic is missing."""
        self.used = False
        """It was up."""
        self.down_at: float | None = None
        """When it last went down."""
        self.why = "not negotiated yet"
        self.status = IpsecStatus.IKE_SA_NOT_ESTABLISHED
        self.since = now
        self.established = 0
        self.rekeyed = 0
        self._tunnel = tunnel
        self._interface = interface

    def rise(self, ike: IkeSa) -> tuple[Output, ...]:
        """It is up. One that was so before anybody asked is no news for the log."""
        before = self.up
        if before:
            return ()
        self.up, self.waits, self.used = True, False, True
        self.why = f"{ike.version} with {ike.remote_address}"
        told = IpsecChanged(self._tunnel, True, self.why)
        if before is None:
            return (told,)
        self.established += 1
        return told, self._log("ipsec.up", "info", f"established: {self.why}")

    def fall(self, waits: bool, now: float) -> tuple[Output, ...]:
        """It is down, for `why`; `waits`: only for lack of traffic."""
        before = self.up
        if before is False and waits is self.waits:
            return ()
        self.up, self.waits = False, waits
        told = IpsecChanged(self._tunnel, False, self.why, waits)
        if not before:
            return (told,)
        self.down_at = now
        return told, self._log("ipsec.down", "warning", f"down: {self.why}")

    def rekey(self, what: Literal["ike", "child"]) -> Output:
        """One of its SAs was replaced."""
        self.rekeyed += 1
        which = "IKE" if what == "ike" else "child"
        return self._log("ipsec.rekeyed", "info", f"the {which} SA was replaced by a fresh one")

    def enter(self, status: IpsecStatus, now: float) -> None:
        """Its status is this now."""
        if status is not self.status:
            self.status, self.since = status, now

    def _log(self, kind: EventKind, severity: Literal["info", "warning"], message: str) -> Log:
        return Log(kind, severity, self._tunnel, message, {"interface": self._interface})
