"""The errors of one tunnel: which is the last, and which is worth an entry in the event log. Pure."""

from __future__ import annotations

from dataclasses import replace

from bgpsvc.effects import Log
from bgpsvc.ipsec.model import Cause, IpsecError
from bgpsvc.model import SessionId

RELATED_S = 5.0
"""What was said so many seconds ago explains what happens now."""


class Complaints:
    """Each error is logged once until the tunnel is up again: an attempt every few seconds fails alike."""

    def __init__(self, tunnel: SessionId) -> None:
        self.last: IpsecError | None = None
        self._tunnel = tunnel
        self._hint: IpsecError | None = None
        self._said: set[tuple[Cause, str | None, str | None]] = set()

    def note(self, error: IpsecError) -> Log | None:
        """Something went wrong; an entry for the log unless it was said."""
        error = self.last = self._completed(error)
        if error.cause is Cause.SETTINGS_CHANGED:
            return None
        key = (error.cause, error.local, error.remote)
        if key in self._said:
            return None
        self._said.add(key)
        data = {"cause": error.cause.value, "local": error.local, "remote": error.remote}
        return Log("ipsec.error", "error", self._tunnel, error.text, data)

    def hint(self, error: IpsecError) -> None:
        """It is an error only if the tunnel goes down now."""
        self._hint = error

    def explanation(self, now: float) -> IpsecError | None:
        """What explains that the tunnel goes down now."""
        hint, self._hint = self._hint, None
        for error in (self.last, hint):
            if error is not None and now - error.time <= RELATED_S:
                self.last = error
                return error
        return None

    def recovered(self) -> None:
        """The tunnel is up: what goes wrong from now on is news."""
        self._said.clear()
        self._hint = None

    def _completed(self, error: IpsecError) -> IpsecError:
        """With the values that are known of the same failure: who refuses sees more."""
        last = self.last
        if last is None or last.cause is not error.cause or error.remote is not None or last.remote is None:
            return error
        return replace(last, time=error.time)
