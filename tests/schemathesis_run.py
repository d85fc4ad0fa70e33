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

[phases.coverage]
enabled = {coverage}

[checks]
# Many documents that fit their schema are refused for what no schema can say: references, overlaps.
positive_data_acceptance.expected-statuses = [200, 201, 202, 404, 409, 412, 422]
negative_data_rejection.expected-statuses = [400, 401, 404, 405, 409, 412, 413, 415, 422]

# What all kinds of resources have in common is covered with one of them.
[[operations]]
include-path-regex = "{covered}"
phases.coverage.enabled = true

# It stays open. tests/unit/api/test_events.py reads it.
[[operations]]
include-path = "/v1/events/stream"
enabled = false

# It would end the tokens that the run itself needs; tests/unit/api/test_accounts.py revokes others.
[[operations]]
include-operation-id = "revokeToken"
enabled = false
"""


def run(
    url: str, token: str, examples: int = EXAMPLES, full: bool = False, extra: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs it; the outcome has status 0 if no check failed. `full` takes many minutes."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        coverage = "true" if full else "false"
        text = CONFIG.format(seed=SEED, examples=examples, coverage=coverage, covered=COVERED)
        config.write_text(text)
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{url}/openapi.json", "--no-color", "--continue-on-failure", "--no-shrink", *extra),
        ]
        return subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"BGPSVC_TOKEN": token, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=900,
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
    outcome = run(given.url, given.token_file.read_text().strip(), given.examples, given.full)
    sys.stdout.write(outcome.stdout)
    sys.stderr.write(outcome.stderr)
    return outcome.returncode


if __name__ == "__main__":
    raise SystemExit(main())
