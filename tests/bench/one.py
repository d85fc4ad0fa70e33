"""One measurement in a process of its own: prints its figures as JSON.

    python -m tests.bench.one sessions bgpsvc '{"count": 1000, "idle": 60}'

SIGTERM, or the end of the process that started it, ends the measurement and all that it made. Exit status 1
with a message on stderr if the measurement failed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable

from tests.bench import latency, load, sessions, switchover
from tests.bench.bed import Failed

PR_SET_PDEATHSIG = 1
MEASUREMENTS: dict[str, Callable[..., dict[str, float]]] = {
    "load": load.measure,
    "memory": load.measure_memory,
    "switchover": switchover.measure,
    "latency": latency.measure,
    "sessions": sessions.measure,
}
MOST_TEXT = 2000


def main() -> int:
    """See the module."""
    section, name, options = sys.argv[1:]
    if os.geteuid() != 0:
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 2
    # What was begun is ended by the `with` blocks and `finally` clauses that SystemExit goes through.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        sample = MEASUREMENTS[section](name, **json.loads(options))
    except (Failed, TimeoutError, ValueError, AssertionError) as error:
        print(str(error)[:MOST_TEXT], file=sys.stderr)
        return 1
    print(json.dumps(sample))
    return 0


if __name__ == "__main__":
    sys.exit(main())
