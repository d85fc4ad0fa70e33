"""The errors of one tunnel: which is the last, and which is worth an entry in the event log. Pure."""

from __future__ import annotations

from dataclasses import replace

from bgpsvc.effects import Log
from bgpsvc.ipsec.model import Cause, IpsecError
from bgpsvc.model import SessionId

RELATED_S = 5.0
"""What was said so many seconds ago explains what happens now."""
TELLING_S = 60.0
"""For how long a reason that was found out stands for refusals that give none."""

PHASE_2 = (Cause.ESP_PROPOSAL_MISMATCH, Cause.PFS_MISMATCH, Cause.SELECTOR_MISMATCH)
_STEPS = (
    (Cause.IKE_PROPOSAL_MISMATCH, Cause.IKE_VERSION_MISMATCH),
    (Cause.AUTHENTICATION_FAILED, Cause.ID_MISMATCH, Cause.NO_PRE_SHARED_KEY),
    PHASE_2,
)
"""What is refused at one step of a negotiation. A refusal at one is not explained by a fault at another."""
SAID_MOST = 32
"""Entries in the event log until a tunnel is up again: a peer can make up new faults for ever."""
_NO_REFUSALS = (
    Cause.SETTINGS_CHANGED,
    Cause.PEER_NOT_RESPONDING,
    Cause.DPD_TIMEOUT,
    Cause.DELETED_BY_PEER,
    Cause.CHARON_DOWN,
    Cause.INTERFACE_FAILED,
)


class Complaints:
    """Each error is logged once until the tunnel is up again: an attempt every few seconds fails alike."""

    def __init__(self, tunnel: SessionId) -> None:
        self.last: IpsecError | None = None
        self._tunnel = tunnel
        self._hint: IpsecError | None = None
        self._telling: IpsecError | None = None
        """The last error that says why."""
        self._overcome: IpsecError | None = None
        """The last error when the tunnel came up."""
        self._said: set[tuple[Cause, str | None, str | None]] = set()

    def note(self, error: IpsecError, vague: bool = False) -> Log | None:
        """Something went wrong; an entry for the log unless it was said, or too much was.

        Both sides try in turn, and each knows why it refuses the other: a vague refusal hides no such reason.
        """
        if vague and self._explains(error):
            assert self._telling is not None, "it explains"
            self.last = replace(self._telling, time=error.time)
            return None
        self.last = error
        if not vague:
            self._telling = error
        if error.cause is Cause.SETTINGS_CHANGED:
            return None
        key = (error.cause, error.local, error.remote)
        if key in self._said or len(self._said) >= SAID_MOST:
            return None
        self._said.add(key)
        data = {"cause": error.cause.value, "local": error.local, "remote": error.remote}
        return Log("ipsec.error", "error", self._tunnel, error.text, data)

    def explained(self, error: IpsecError) -> None:
        """Something that was told already has this reason."""
        self.last = error

    def hint(self, error: IpsecError) -> None:
        """It is an error only if the tunnel goes down now."""
        self._hint = error

    def explanation(self, now: float) -> IpsecError | None:
        """What explains that the tunnel goes down now."""
        hint, self._hint = self._hint, None
        for error in (self.last, hint):
            if error is None or error is self._overcome:
                continue
            if now - error.time <= RELATED_S:
                self.last = error
                return error
        return None

    def recovered(self) -> None:
        """The tunnel is up: what goes wrong from now on is news."""
        self._said.clear()
        self._hint = self._telling = None
        self._overcome = self.last

    def begun_anew(self) -> None:
        """By the operator, or with other settings: what was found out before explains nothing any more."""
        self._telling = None

    def _explains(self, vague: IpsecError) -> bool:
        """What was found out before is the reason of a refusal that gives none."""
        telling = self._telling
        if telling is None or vague.time - telling.time > TELLING_S or telling.cause in _NO_REFUSALS:
            return False
        if (telling.cause in PHASE_2) != (vague.cause in PHASE_2):
            return False
        steps = [next((step for step in _STEPS if e.cause in step), None) for e in (telling, vague)]
        return None in steps or steps[0] == steps[1]
