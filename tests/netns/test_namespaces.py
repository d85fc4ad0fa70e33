"""What the tests' own namespaces leave behind: nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.netns.namespaces import Namespace

# A session of its own, and no parent that waits for it: like a charon whose daemon was killed.
LEFT_BEHIND = "setsid sleep 1000 >/dev/null 2>&1 & echo $!"


def test_what_runs_in_a_namespace_ends_with_it_and_nothing_else() -> None:
    with Namespace() as other:
        with Namespace() as namespace:
            left = int(namespace.run("sh", "-c", LEFT_BEHIND))
            assert left in namespace.processes()
            elsewhere = subprocess.Popen(other.command("sleep", "1000"))
        stat = Path(f"/proc/{left}/stat")
        assert not stat.exists() or " Z " in stat.read_text()
        assert elsewhere.poll() is None
    assert elsewhere.wait(60) < 0
