"""Run in new namespaces like a lab's: whether a gateway could make IPsec tunnels in them.

Prints what is missing and ends with status 1, or with 0. It is the daemon's own judgement, so the lab starts
no gateways that would then make no tunnels.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bgpsvc.ipsec.choose import CannotChoose, choose
from bgpsvc.ipsec.probe import examine

_NO_CHARON = Path("/nonexistent")
"""The lab needs none that runs already, and asks nobody else's."""


def main() -> int:
    """Exit status."""
    try:
        choose("userspace", asyncio.run(examine(_NO_CHARON)))
    except CannotChoose as refusal:
        print(str(refusal).partition(": ")[2])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
