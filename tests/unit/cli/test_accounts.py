"""Tokens, the audit log, secrets, questions: `token`, `audit`, `secrets`, `reveal`, `simulate`, `explain`."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from api.server import Listen
from bgpsvc.cli.accounts import expiry
from bgpsvc.cli.errors import CliError
from bgpsvc.control import Scope
from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("running")


def test_a_token_is_made_listed_used_and_revoked(bgpsvc: Run, tmp_path: Path) -> None:
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "api.sock")
        with RunningApi(listen=Listen(path=path)) as own:
            made = bgpsvc(
                "-s", f"unix:{path}", "token", "create", "--name", "ci", "--scope", "read", "--expires", "90d"
            )
            ident = made.out.removeprefix("bgpsvc_").partition(".")[0]
            assert made.status == 0
            assert made.out.count("\n") == 1, "only the token, so that it can be sent to a file"
            assert f"token {ident} for ci, scope read, valid until " in made.err
            assert made.out.strip() not in made.err
            listed = bgpsvc("-s", f"unix:{path}", "token", "list")
            assert listed.out.splitlines()[1].split()[:4] == [ident, "ci", "read", "valid"]
            assert made.out.strip().partition(".")[2] not in listed.out
            gone = bgpsvc("-s", f"unix:{path}", "token", "revoke", ident)
            assert (gone.status, gone.out) == (0, f"token {ident} is revoked\n")
            (row,) = csv.DictReader(
                io.StringIO(bgpsvc("-s", f"unix:{path}", "token", "list", "-o", "csv").out)
            )
            assert row["state"] == "revoked"
            assert [entry.action for entry in own.control.log] == ["token.create", "token.revoke"]


def test_accounts_for_programs(bgpsvc: Run) -> None:
    made = json.loads(bgpsvc("token", "create", "--name", "x", "--scope", "admin", "-o", "json").out)
    assert made["token"].startswith(f"bgpsvc_{made['id']}.")
    (row,) = csv.DictReader(io.StringIO(bgpsvc("token", "revoke", made["id"], "-o", "csv").out))
    assert row["state"] == "revoked"
    assert bgpsvc("secrets", "rotate-key", "-o", "yaml").out == "rotated: 2\ndry_run: false\n"


def test_a_token_opens_what_its_scope_allows(bgpsvc: Run, tmp_path: Path) -> None:
    with RunningApi(anonymous=None) as closed:
        text = closed.control.add_token("dashboard", Scope.READ).text
        file = tmp_path / "token"
        file.write_text(text)
        nobody = bgpsvc("-s", closed.url, "get", "vpcs")
        assert (nobody.status, nobody.out) == (1, "")
        assert "give a token with --token-file or BGPSVC_TOKEN" in nobody.err
        known = ("-s", closed.url, "--token-file", str(file))
        assert bgpsvc(*known, "get", "vpcs").status == 0
        refused = bgpsvc(*known, "switch", "conn1", "standby")
        assert (refused.status, refused.out) == (1, "")
        assert "this needs the scope operate" in refused.err
        assert text.partition(".")[2] not in refused.err


@pytest.mark.parametrize(
    ("text", "delta"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(90)),
        ("8w", timedelta(56)),
    ],
)
def test_times_from_now(text: str, delta: timedelta) -> None:
    assert abs(datetime.fromisoformat(expiry(text)) - datetime.now(UTC) - delta) < timedelta(seconds=5)


def test_a_time_of_its_own() -> None:
    assert expiry("2030-01-31T01:00:00+01:00") == "2030-01-31T00:00:00Z"
    for bad in ("90", "d", "soon", "999999w"):
        with pytest.raises(CliError, match=f"'{bad}' is no time: give 30m, 12h"):
            expiry(bad)


def test_the_audit_log_has_who_changed_what(bgpsvc: Run) -> None:
    assert bgpsvc("audit").err == "nothing found\n"
    bgpsvc("reveal", "vpn-connection", "conn1")
    bgpsvc("propagate", "off", "gw1")
    rows = bgpsvc("audit").out.splitlines()
    assert rows[1].split()[2:] == [
        "anonymous",
        "127.0.0.1",
        "update",
        "vpn_gateways",
        "gw1",
        "auto_propagate",
    ]
    assert rows[2].split()[2:6] == ["anonymous", "127.0.0.1", "reveal", "vpn_connections"]
    assert len(bgpsvc("audit", "--kind", "vpn-gateway", "--name", "gw1").out.splitlines()) == 2
    assert len(bgpsvc("audit", "--kind", "vpn_gateways").out.splitlines()) == 2, "as its table says"
    assert len(bgpsvc("audit", "--limit", "1").out.splitlines()) == 2
    (entry,) = json.loads(bgpsvc("audit", "--kind", "gateways", "-o", "json").out)["items"]
    assert (entry["old"]["auto_propagate"], entry["new"]["auto_propagate"]) == (True, False)
    assert bgpsvc("audit", "--kind", "sessions").status == 2


def test_secrets_are_revealed_only_by_that_name(bgpsvc: Run) -> None:
    table = bgpsvc("reveal", "connection", "conn1").out
    assert table.splitlines()[1].split() == ["/tunnels/0/ike/pre_shared_key", "sharedKey1"]
    found = json.loads(bgpsvc("reveal", "vpn-connections", "conn1", "-o", "json").out)
    assert found["secrets"]["/tunnels/1/ike/pre_shared_key"] == "sharedKey2"
    assert "sharedKey" not in bgpsvc("get", "connections", "conn1", "-o", "json").out
    other = bgpsvc("reveal", "vpc", "vpc1")
    assert (other.status, other.out) == (2, "")
    assert other.err == "bgpsvc: a VPC has no secrets; a VPN connection has\n"


def test_the_key_is_rotated(bgpsvc: Run) -> None:
    assert bgpsvc("secrets", "rotate-key").out == "2 secrets encrypted with a new key\n"


def test_simulate_names_what_would_change(bgpsvc: Run, running: RunningApi) -> None:
    result = bgpsvc("simulate", "--fail-tunnel", "conn1-tunnel1", "--samples", "1")
    lines = result.out.splitlines()
    assert lines[0] == "VPN gateway gw1: 3 lost, 0 gained, 0 moved, 1 unchanged"
    assert lines[2] == "Lost"
    assert lines[4].split()[:3] == ["192.168.0.0/16", "conn1-tunnel1", "-"]
    assert lines[5] == "and 2 more (--samples)"
    assert json.loads(bgpsvc("simulate", "--auto-propagate", "off", "-o", "json").out)["unchanged"] == 4
    rows = list(
        csv.DictReader(io.StringIO(bgpsvc("simulate", "--fail-tunnel", "conn1-tunnel1", "-o", "csv").out))
    )
    assert [row["change"] for row in rows] == ["lost"] * 3


def test_simulate_takes_resources_as_apply_does(bgpsvc: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("routing_policies:\n  - {name: strict, default_action: reject}\n")
    bad.write_text("routing_policies:\n  - {name: strict, default_action: rejekt}\n")
    assert bgpsvc("simulate", "-f", str(good)).status == 0
    assert (
        f"{bad}:2:36: routing_policies[0].default_action: 'rejekt'" in bgpsvc("simulate", "-f", str(bad)).err
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "ask something: --fail-tunnel, --recover-tunnel, --auto-propagate or -f"),
        (
            ["--fail-tunnel", "x"],
            2,
            "'x': is no tunnel of the gateway; allowed: conn1-tunnel1, conn1-tunnel2",
        ),
        (["--auto-propagate", "off", "-g", "gw9"], 1, "there is no VPN gateway 'gw9'"),
    ],
)
def test_what_cannot_be_asked(bgpsvc: Run, arguments: list[str], status: int, message: str) -> None:
    result = bgpsvc("simulate", *arguments)
    assert (result.status, result.out) == (status, "")
    assert message in result.err


def test_explain_tells_the_story_of_a_prefix_or_an_address(bgpsvc: Run) -> None:
    for asked, head in (
        ("192.168.0.0/16", "192.168.0.0/16 at VPN gateway gw1, VPC vpc1"),
        ("192.168.99.7", "192.168.0.0/16 (longest match of 192.168.99.7) at VPN gateway gw1, VPC vpc1"),
        ("2001:db8:2::/48", "2001:db8:2::/48 at VPN gateway gw1, VPC vpc1"),
    ):
        result = bgpsvc("explain", asked)
        assert result.out.splitlines()[0] == head, result.err
        assert "conn1-tunnel1 wins" in result.out
    assert json.loads(bgpsvc("explain", "10.0.5.0/24", "-o", "json").out)["state"] == "not_installed"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["203.0.113.0/24"], 1, "there is no route '203.0.113.0/24'"),
        (["10.0.0.1/8"], 2, "host bits are set"),
        (["10.0.0.300"], 2, "'10.0.0.300'"),
        ([".."], 2, ""),
        (["../../vpcs"], 2, "is neither a prefix nor an address"),
        (["10.0.0.0/8", "-o", "csv"], 2, "an explanation is no table"),
    ],
)
def test_what_cannot_be_explained(bgpsvc: Run, arguments: list[str], status: int, message: str) -> None:
    result = bgpsvc("explain", *arguments)
    assert (result.status, result.out) == (status, "")
    assert message in result.err


def test_every_kind_is_listed_in_each_form(bgpsvc: Run, tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    path.write_text(
        "routing_policies: [{name: strict, default_action: reject}]\n"
        "destination_routes: [{name: d, vpn_gateway: gw1, destination: 172.20.0.0/16, "
        "vpn_connection: conn1}]\n"
        "policy_routes: [{name: p, vpn_gateway: gw1, source: 10.0.0.0/24, destination: 172.21.0.0/16, "
        "vpn_connection: conn1, publish: true}]\n"
        "vpc_routes: [{name: v, vpc: vpc1, destination: 172.22.0.0/16, blackhole: true}]\n"
    )
    assert bgpsvc("apply", "-f", str(path), "--yes").status == 0
    for kind, cells in (
        ("routing-policies", ["strict", "0", "reject", "active"]),
        ("customer-gateways", ["cgw1", "198.51.100.2", "65500", "active"]),
        ("destination-routes", ["d", "gw1", "172.20.0.0/16", "conn1", "no", "active"]),
        ("policy-routes", ["p", "gw1", "10", "10.0.0.0/24", "172.21.0.0/16", "conn1", "yes", "active"]),
        ("vpc-route", ["v", "vpc1", "172.22.0.0/16", "blackhole", "no", "active"]),
    ):
        assert bgpsvc("get", kind).out.splitlines()[1].split()[: len(cells)] == cells
        name = cells[0]
        assert bgpsvc("get", kind, name, "-o", "wide").out.splitlines()[1].split()[0] == name
        assert json.loads(bgpsvc("get", kind, name, "-o", "json").out)["config"]["name"] == name
        assert next(csv.DictReader(io.StringIO(bgpsvc("get", kind, "-o", "csv").out)))["name"] == name
