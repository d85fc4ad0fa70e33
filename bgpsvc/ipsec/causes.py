"""What a line of charon's log says about why a tunnel does not come up."""

from __future__ import annotations

from bgpsvc.ipsec.model import Cause, IpsecError, IpsecTunnel
from bgpsvc.ipsec.port import Logged


class CauseReader:
    """Reads the lines about one tunnel, one after the other."""

    def __init__(self, tunnel: IpsecTunnel) -> None:
        self._tunnel = tunnel

    def feed(self, line: Logged, now: float) -> IpsecError | None:
        """The failure that a line tells, None if it tells none."""
        if "AUTHENTICATION_FAILED" in line.message and line.message.startswith("received "):
            text = "the peer refused the authentication: the pre-shared keys or the ids differ"
            return IpsecError(now, Cause.AUTHENTICATION_FAILED, text)
        return None
