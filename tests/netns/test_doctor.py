"""`bgpsvc doctor` as a whole: what it tries leaves nothing behind, and it needs no daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.netns.namespaces import Namespace

COMMAND = (sys.executable, "-m", "bgpsvc", "--server", "unix:/nonexistent/api.sock", "doctor")


def test_a_machine_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    with Namespace() as home:
        before = home.ip("-N link"), home.ip("nexthop"), home.ip("rule")
        argv = [*COMMAND, "--state-dir", str(tmp_path / "state"), "-o", "json"]
        done = subprocess.run(home.command(*argv), capture_output=True, text=True, check=False)
        assert (home.ip("-N link"), home.ip("nexthop"), home.ip("rule")) == before
    assert done.returncode == 0, done.stdout + done.stderr
    found = {item["check"]: item["outcome"] for item in json.loads(done.stdout)["findings"]}
    needed = ("kernel_version", "capabilities", "nexthop_groups", "tcp_md5", "nftables", "driver", "exabgp")
    assert {check: found[check] for check in needed} == dict.fromkeys(needed, "ok")
    assert found["running"] == "skipped"
    assert not (tmp_path / "state").exists()


def test_a_container_that_may_make_no_namespace_is_tried_in_place() -> None:
    with Namespace() as home:
        before = home.ip("-N link"), home.ip("nexthop"), home.ip("rule"), home.run("nft", "list", "ruleset")
        limits = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
        argv = home.command(*limits, sys.executable, "-m", "bgpsvc.doctor.trial")
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        after = home.ip("-N link"), home.ip("nexthop"), home.ip("rule"), home.run("nft", "list", "ruleset")
    assert after == before
    assert done.returncode == 0, done.stderr
    found = {item["check"]: item for item in json.loads(done.stdout)}
    needed = ("nexthop_groups", "tcp_md5", "nftables", "driver")
    assert {check: found[check]["outcome"] for check in needed} == dict.fromkeys(needed, "ok")
    assert "none was made" in found["nexthop_groups"]["summary"]


def test_what_is_missing_is_said_and_the_status_is_1(tmp_path: Path) -> None:
    bad = tmp_path / "gw1.yaml"
    bad.write_text("vpn_gateways: 7\n")
    with Namespace() as home:
        # Without the right to make namespaces or routes.
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *COMMAND, "--config", str(bad)]
        done = subprocess.run(home.command(*argv), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "FAILED   CAP_NET_ADMIN is missing" in done.stdout
    assert "a network namespace cannot be made: Operation not permitted" in done.stdout
    assert f"FAILED   {bad} is not valid" in done.stdout
