"""Schemathesis over the whole OpenAPI document of a running API.

    python -m tests.schemathesis_run http://127.0.0.1:8179 TOKEN_FILE [--examples N] [--full]

The API should be one made for the purpose: resources are made and deleted, tokens too. TOKEN_FILE holds a
token with the scope admin, so that it is in no process argument. Same seed, same requests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

SEED = 20251009
EXAMPLES = 2
# What all kinds of resources have in common is covered with one of them.
COVERED = (
    "^/v1/(customer-gateways|tokens|audit|configuration|bgp-sessions)|^/v1/events$|^/[a-z]+$"
    "|/(routes|explain|simulate|switch|reveal)$"
)
CONFIG = """
seed = {seed}
suppress-health-check = ["all"]
request-timeout = 30
headers = {{ Authorization = "Bearer ${{BGPSVC_TOKEN}}" }}

[generation]
max-examples = {examples}
deterministic = true

[phases.stateful.generation]
max-examples = 10

[checks]
# Many documents that fit their schema are refused for what no schema can say: references, overlaps.
positive_data_acceptance.expected-statuses = [200, 201, 202, 404, 409, 412, 422]
negative_data_rejection.expected-statuses = [400, 401, 404, 405, 409, 412, 413, 415, 422]

# It stays open. tests/unit/api/test_events.py reads it.
[[operations]]
include-path = "/v1/events/stream"
enabled = false

# It would end the tokens that the run itself needs; tests/unit/api/test_accounts.py revokes others.
[[operations]]
include-operation-id = "revokeToken"
enabled = false
"""


def run(url: str, token: str, examples: int = EXAMPLES, full: bool = False) -> tuple[int, str]:
    """Runs it: 0 if no check failed, and what was printed. `full` covers every operation: long."""
    covered = [] if full else [f"--include-path-regex={COVERED}"]
    phases = (["--phases=examples,fuzzing,stateful"], ["--phases=coverage", *covered])
    outcomes = [_run(url, token, examples, options) for options in phases]
    return max(outcome.returncode for outcome in outcomes), "".join(o.stdout + o.stderr for o in outcomes)


def _run(url: str, token: str, examples: int, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    with TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG.format(seed=SEED, examples=examples))
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{url}/openapi.json", "--no-color", "--continue-on-failure", "--no-shrink", *options),
        ]
        return subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"BGPSVC_TOKEN": token, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Schemathesis over a running API.")
    parser.add_argument("url")
    parser.add_argument("token_file", type=Path)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="Examples of each operation.")
    parser.add_argument("--full", action="store_true", help="Cover every operation; takes many minutes.")
    given = parser.parse_args()
    status, text = run(given.url, given.token_file.read_text().strip(), given.examples, given.full)
    sys.stdout.write(text)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
