"""What charon's refusals mean for a tunnel."""

from __future__ import annotations

from bgpsvc.ipsec.model import Cause
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec.vici import CharonError, CharonLost, CharonRefused


def driver_error(error: CharonError) -> DriverError:
    """A failed request to charon as the driver's port tells it."""
    if isinstance(error, CharonLost):
        return DriverError(Cause.CHARON_DOWN, str(error))
    unsupported = isinstance(error, CharonRefused) and "proposal" in error.reason
    return DriverError(Cause.UNSUPPORTED_ALGORITHM if unsupported else Cause.OTHER, str(error))
