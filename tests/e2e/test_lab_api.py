"""The command line against real daemons that were made over REST alone: files, plans, stories, tokens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.labs import REPOSITORY, LabCommand
from tests.netns.namespaces import wait_until

Cli = Callable[..., subprocess.CompletedProcess[str]]
SOCKET = "unix:/run/lab/gw1/state/api.sock"
MORE = """\
routing_policies:
  - name: prefer-standby
    rules: [{match: {sessions: [conn1-tunnel2]}, local_preference: 300}]
vpc_routes:
  - {name: hole, vpc: vpc1, destination: 172.22.0.0/16, blackhole: true, advertise: true}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[LabCommand]:
    """One lab for all tests: to make it takes longer than they do."""
    command = LabCommand()
    try:
        up = command("up", "--peer", "bird")
        assert up.returncode == 0, up.stderr
        assert "ok    PATCH /v1/vpn-gateways at gw1" in up.stderr
        yield command
        command("down")
    finally:
        command.clean_up()


@pytest.fixture(scope="module")
def url(lab: LabCommand) -> str:
    found = re.search(r"REST +gw1 (http\S+)", lab("status").stdout)
    assert found is not None
    return found[1]


@pytest.fixture
def cli(url: str) -> Cli:
    """`bgpsvc ARGUMENTS` for gateway 1."""

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "bgpsvc", *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "BGPSVC_SERVER": url},
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    return run


def table(lab: LabCommand) -> str:
    """The kernel's route table of the VPC."""
    return lab("exec", "gw1", "--", "ip", "route", "show", "table", "201").stdout


def test_an_export_applied_again_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    path = str(tmp_path / "all.yaml")
    cli("export", "-o", path)
    assert cli("apply", "-f", path, "--prune").stdout == "nothing to change\n"
    cli("diff", "-f", path, "--prune")


def test_files_change_routing_and_take_the_change_back(cli: Cli, lab: LabCommand, tmp_path: Path) -> None:
    base, changed = tmp_path / "base.yaml", tmp_path / "changed"
    changed.mkdir()
    cli("export", "-o", str(base))
    document = yaml.safe_load(base.read_text())
    document["vpn_connections"][0]["import_policy"] = "prefer-standby"
    (changed / "all.yaml").write_text(yaml.safe_dump(document))
    (changed / "more.yaml").write_text(MORE)

    def moved() -> re.Match[str] | None:
        told = cli("simulate", "-f", str(changed)).stdout
        return re.search(r"^192\.168\.0\.0/16 +conn1-tunnel1 +conn1-tunnel2 ", told, re.M)

    wait_until(moved, "both tunnels have the prefix of the other side, and the standby would have it")
    plan = cli("diff", "-f", str(changed), status=1).stdout
    assert "import_policy: (none) -> prefer-standby" in plan
    assert cli("apply", "-f", str(changed), status=2).stdout == plan
    assert "blackhole" not in table(lab), "nobody said yes"

    done = cli("apply", "-f", str(changed), "--yes")
    assert done.stderr.endswith("done: 3 resources\n")
    assert "blackhole 172.22.0.0/16" in table(lab), "done means that the kernel has it"
    wait_until(lambda: "conn1-tunnel2 wins" in cli("explain", "192.168.0.10").stdout, "the standby wins")
    assert "import policy prefer-standby (local_preference 300)" in cli("explain", "192.168.0.10").stdout

    used = cli("delete", "routing-policy", "prefer-standby", "--yes", status=1)
    assert used.stderr == "bgpsvc: routing policy prefer-standby is in use by VPN connection conn1\n"
    cli("apply", "-f", str(base), "--yes", "--prune")
    assert "blackhole" not in table(lab)
    cli("get", "routing-policy", "prefer-standby", status=1)


def test_mistakes_that_only_the_daemon_can_find_have_their_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "destination_routes:\n"
        "  - name: d\n"
        "    vpn_gateway: gw1\n"
        "    destination: 172.20.0.0/16\n"
        "    vpn_connection: nowhere\n"
    )
    refused = cli("apply", "-f", str(path), "--yes", status=1)
    assert f"{path}:5:21: destination_routes[0].vpn_connection: 'nowhere': " in refused.stderr


def test_secrets_come_from_files_and_are_only_revealed(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    cli("export", "-o", str(path))
    former = cli("reveal", "vpn-connection", "conn1").stdout.splitlines()[1].split()[1]
    document = yaml.safe_load(path.read_text())
    ike = document["vpn_connections"][0]["tunnels"][0]["ike"]
    del ike["pre_shared_key"]
    ike["pre_shared_key_file"] = "key"
    path.write_text(yaml.safe_dump(document))
    (tmp_path / "key").write_text("aKeyOfItsOwn\n")
    done = cli("apply", "-f", str(path), "--yes")
    assert "tunnels.0.ike.pre_shared_key: " in done.stdout
    shown = done.stdout + done.stderr + cli("export").stdout + cli("audit", "-o", "json").stdout
    assert "aKeyOfItsOwn" not in shown
    assert "secrets encrypted with a new key" in cli("secrets", "rotate-key").stdout
    assert "aKeyOfItsOwn" in cli("reveal", "vpn-connection", "conn1").stdout
    assert cli("audit", "--limit", "1").stdout.splitlines()[1].split()[4:] == [
        "reveal",
        "vpn_connections",
        "conn1",
        "-",
    ]
    # The peer has the former one.
    (tmp_path / "key").write_text(former)
    cli("apply", "-f", str(path), "--yes")


def test_a_token_is_of_use_until_it_is_revoked(cli: Cli, tmp_path: Path) -> None:
    made = cli("token", "create", "--name", "dashboard", "--scope", "read", "--expires", "1h")
    file = tmp_path / "token"
    file.write_text(made.stdout)
    known = ("--token-file", str(file))
    cli(*known, "get", "sessions")
    # With a token it is the token that counts, although this daemon would let anybody in.
    refused = cli(*known, "propagate", "off", "gw1", status=1)
    assert "this needs the scope operate" in refused.stderr
    cli("token", "revoke", made.stdout.removeprefix("bgpsvc_").partition(".")[0])
    assert "expired or revoked" in cli(*known, "get", "sessions", status=1).stderr


def test_the_daemons_own_socket_needs_no_token(lab: LabCommand) -> None:
    over_socket = (sys.executable, "-P", "-m", "bgpsvc", "-s", SOCKET)
    done = lab("exec", "gw1", "--", "env", f"PYTHONPATH={REPOSITORY}", *over_socket, "get", "sessions")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["conn1-tunnel1", "conn1-tunnel2"]


def test_the_health_check_of_the_containers_asks_over_the_socket(lab: LabCommand) -> None:
    def healthy() -> subprocess.CompletedProcess[str]:
        where = ("env", f"PYTHONPATH={REPOSITORY}", f"BGPSVC_SERVER={SOCKET}")
        script = str(REPOSITORY / "containers" / "lab" / "healthy")
        return lab("exec", "gw1", "--", *where, sys.executable, "-P", script)

    def both() -> bool:
        done = healthy()
        told = "{'conn1-tunnel1': 'established', 'conn1-tunnel2': 'established'}\n"
        return (done.returncode, done.stdout) == (0, told)

    wait_until(both, "both sessions are up, whatever another test did to them")
    lab("fail", "1")
    try:
        wait_until(lambda: healthy().returncode == 1, "a session is down")
    finally:
        lab("heal", "1")
