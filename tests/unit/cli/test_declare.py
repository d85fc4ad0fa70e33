"""`apply`, `diff`, `export` and `delete` against the served fake: plans, questions, waiting, refusals."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from bgpsvc.cli import settle
from bgpsvc.resources.fields import MASK
from tests.fakes.server import RunningApi
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("running")

NEW = """\
customer_gateways:
  - {name: cgw3, address: 198.51.100.6, asn: 65501}
vpn_gateways:
  - {name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3]}
"""
PLAN = (
    "~ VPN gateway gw1\n"
    "    auto_propagate: true -> false\n"
    "+ customer gateway cgw3\n"
    "1 to create, 1 to update, 0 to delete\n"
)


@pytest.fixture
def new(tmp_path: Path) -> str:
    """A file that changes a gateway and adds a customer gateway."""
    path = tmp_path / "new.yaml"
    path.write_text(NEW)
    return str(path)


def names(running: RunningApi, kind: str) -> list[str]:
    """The resources that the daemon has."""
    return [str(item["name"]) for item in running.control.configuration().get(kind, ())]


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Somebody sits at a terminal and types this."""
    terminal = io.StringIO(text)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)


def test_apply_shows_the_plan_does_it_and_then_has_nothing_to_do(
    bgpsvc: Run, running: RunningApi, new: str
) -> None:
    assert bgpsvc("diff", "-f", new).status == 1
    done = bgpsvc("apply", "-f", new, "--yes")
    assert (done.status, done.out) == (0, PLAN)
    assert done.err.endswith("done: 2 resources\n")
    assert names(running, "customer_gateways") == ["cgw1", "cgw2", "cgw3"]
    assert not running.service.auto_propagate
    # Without --yes, too: there is no question to ask.
    assert bgpsvc("apply", "-f", new).out == "nothing to change\n"
    again = bgpsvc("diff", "-f", new)
    assert (again.status, again.out, again.err) == (0, "nothing to change\n", "")


def test_a_dry_run_changes_nothing(bgpsvc: Run, running: RunningApi, new: str) -> None:
    dry = bgpsvc("apply", "-f", new, "--dry-run")
    assert (dry.status, dry.out, dry.err) == (0, PLAN, "")
    assert "cgw3" not in names(running, "customer_gateways")


def test_prune_deletes_what_the_files_have_not(bgpsvc: Run, running: RunningApi, tmp_path: Path) -> None:
    export = yaml.safe_load(bgpsvc("export").out)
    export["vpcs"].append({"name": "vpc2", "cidrs": ["10.9.0.0/16"], "route_table": 1002})
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump(export))
    assert bgpsvc("apply", "-f", str(path), "--yes").status == 0
    export["vpcs"].pop()
    path.write_text(yaml.safe_dump(export))
    assert bgpsvc("apply", "-f", str(path), "--yes").out == "nothing to change\n"
    pruned = bgpsvc("apply", "-f", str(path), "--prune", "--yes")
    assert pruned.out == "- VPC vpc2\n0 to create, 0 to update, 1 to delete\n"
    assert names(running, "vpcs") == ["vpc1"]


def test_without_a_terminal_it_wants_yes(bgpsvc: Run, running: RunningApi, new: str) -> None:
    result = bgpsvc("apply", "-f", new)
    assert (result.status, result.out) == (2, PLAN), "the plan is shown all the same"
    assert result.err == "bgpsvc: nothing was changed: there is no terminal to ask on; give --yes\n"
    assert "cgw3" not in names(running, "customer_gateways")


def test_the_answer_decides(
    bgpsvc: Run, running: RunningApi, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in ("n\n", "\n"):
        type_in(monkeypatch, answer)
        refused = bgpsvc("apply", "-f", new)
        assert (refused.status, refused.out) == (1, PLAN)
        assert refused.err == "Do it? [y/N]: bgpsvc: nothing was changed\n"
    assert "cgw3" not in names(running, "customer_gateways")
    type_in(monkeypatch, "y\n")
    assert bgpsvc("apply", "-f", new).status == 0
    assert "cgw3" in names(running, "customer_gateways")


def test_only_the_plan_that_was_shown_is_done(
    bgpsvc: Run, running: RunningApi, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("customer_gateways:\n  - {name: cgw9, address: 198.51.100.9}\n")

    terminal = io.StringIO()

    def answer() -> str:
        # While the question waits for its answer, somebody else is quicker.
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        assert bgpsvc("apply", "-f", str(other), "--yes").status == 0
        return "y\n"

    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(terminal, "readline", answer)
    monkeypatch.setattr(sys, "stdin", terminal)
    result = bgpsvc("apply", "-f", new)
    assert result.status == 1
    assert result.err.endswith("nothing was changed: somebody else changed something since the plan\n")
    assert "cgw3" not in names(running, "customer_gateways")


@pytest.mark.parametrize("command", ["apply", "diff"])
def test_what_the_daemon_refuses_has_its_line(bgpsvc: Run, tmp_path: Path, command: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("vpn_gateways:\n  - name: gw9\n    vpc: nowhere\n    addresses: [192.0.2.1, 192.0.2.2]\n")
    result = bgpsvc(command, "-f", str(path))
    assert (result.status, result.out) == (1 if command == "apply" else 2, "")
    first, second = result.err.splitlines()
    assert first == "bgpsvc: 1 problem, says the daemon"
    assert second.startswith(f"{path}:3:10: vpn_gateways[0].vpc: 'nowhere': ")


@pytest.mark.parametrize(("command", "status"), [("apply", 1), ("diff", 2)])
def test_files_that_are_wrong_never_reach_the_daemon(
    bgpsvc: Run, tmp_path: Path, command: str, status: int
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("vpcs:\n  - {name: vpc1, cidrs: [10.0.0.1/16]}\n")
    result = bgpsvc("-s", "127.0.0.1:1", command, "-f", str(path))
    assert (result.status, result.out) == (status, "")
    assert f"{path}:2:26: vpcs[0].cidrs[0]: '10.0.0.1/16'" in result.err


def test_nobody_to_ask_is_a_problem_for_diff(bgpsvc: Run, new: str) -> None:
    assert bgpsvc("-s", "127.0.0.1:1", "diff", "-f", new).status == 2


def test_resources_of_a_file_are_not_changed(bgpsvc: Run, running: RunningApi, new: str) -> None:
    running.control.file = "/etc/gw1.yaml"
    result = bgpsvc("apply", "-f", new, "--yes")
    assert (result.status, result.out) == (1, "")
    assert result.err == "bgpsvc: the resources come from /etc/gw1.yaml, and are changed there\n"


def test_an_export_applied_again_changes_nothing_and_keeps_the_secrets(
    bgpsvc: Run, running: RunningApi, tmp_path: Path
) -> None:
    path = tmp_path / "all.yaml"
    exported = bgpsvc("export", "-o", str(path))
    assert (exported.status, exported.out, exported.err) == (0, "", f"{path}: 5 resources\n")
    text = path.read_text()
    assert text == bgpsvc("export").out
    assert MASK in text
    assert "sharedKey1" not in text
    assert bgpsvc("apply", "-f", str(path)).out == "nothing to change\n"
    changed = yaml.safe_load(text)
    changed["vpn_connections"][0]["failback_hold_down"] = 9
    path.write_text(yaml.safe_dump(changed))
    assert bgpsvc("apply", "-f", str(path), "--yes").status == 0
    assert "sharedKey1" in bgpsvc("reveal", "vpn-connection", "conn1").out


def test_a_secret_is_neither_in_the_plan_nor_in_a_message(bgpsvc: Run, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    bgpsvc("export", "-o", str(path))
    path.write_text(path.read_text().replace(f"pre_shared_key: '{MASK}'", "pre_shared_key_file: key"))
    (tmp_path / "key").write_text("brandNewKey\n")
    result = bgpsvc("apply", "-f", str(path), "--yes")
    assert result.status == 0
    assert "tunnels.0.ike.pre_shared_key: " in result.out
    assert "brandNewKey" not in result.out + result.err
    assert bgpsvc("reveal", "vpn-connection", "conn1").out.count("brandNewKey") == 2


def test_a_plan_for_programs(bgpsvc: Run, new: str) -> None:
    dry = json.loads(bgpsvc("diff", "-f", new, "-o", "json").out)
    assert (dry["dry_run"], [r["name"] for r in dry["plan"]["resources"]]) == (True, ["gw1", "cgw3"])
    wet = bgpsvc("apply", "-f", new, "--yes", "-o", "yaml")
    assert yaml.safe_load(wet.out)["plan"]["resources"] == dry["plan"]["resources"]
    refused = bgpsvc("diff", "-f", new, "-o", "csv")
    assert (refused.status, refused.out) == (2, "")


def test_it_waits_and_says_what_is_stuck(bgpsvc: Run, running: RunningApi, new: str) -> None:
    running.control.settle = False
    result = bgpsvc("apply", "-f", new, "--yes", "--timeout", "0.3")
    assert (result.status, result.out) == (1, PLAN)
    lines = result.err.splitlines()
    assert lines[0].startswith("waiting for 2 of 2: VPN gateway gw1 is updating: ")
    assert lines[1] == "bgpsvc: stored, but not done after 0.3 s; it goes on:"
    assert lines[3].startswith("  customer gateway cgw3 is provisioning: ")
    assert "cgw3" in names(running, "customer_gateways"), "it is stored nevertheless"


def test_it_does_not_wait_if_told_so(bgpsvc: Run, running: RunningApi, new: str) -> None:
    running.control.settle = False
    result = bgpsvc("apply", "-f", new, "--yes", "--no-wait")
    assert (result.status, result.err) == (0, "")


def test_many_resources_are_waited_for_by_lists(
    bgpsvc: Run, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "ONE_BY_ONE", 1)
    assert bgpsvc("apply", "-f", new, "--yes").err == "done: 2 resources\n"


def test_one_resource_is_deleted_by_its_name(bgpsvc: Run, running: RunningApi, new: str) -> None:
    bgpsvc("apply", "-f", new, "--yes")
    result = bgpsvc("delete", "customer-gateway", "cgw3", "--yes")
    assert (result.status, result.out) == (
        0,
        "- customer gateway cgw3\n0 to create, 0 to update, 1 to delete\n",
    )
    assert "cgw3" not in names(running, "customer_gateways")
    gone = bgpsvc("delete", "customer-gateway", "cgw3", "--yes")
    assert (gone.status, gone.out) == (1, "")
    assert gone.err.startswith("bgpsvc: there is no customer gateway 'cgw3'")


def test_what_is_in_use_is_not_deleted(bgpsvc: Run, running: RunningApi) -> None:
    result = bgpsvc("delete", "customer-gateways", "cgw1", "--yes")
    assert (result.status, result.out) == (1, "")
    assert "is in use by VPN connection conn1" in result.err
    assert "cgw1" in names(running, "customer_gateways")


def test_all_that_files_name_is_deleted(bgpsvc: Run, running: RunningApi, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    bgpsvc("export", "-o", str(path))
    # The files of secrets are not needed to delete.
    path.write_text(path.read_text().replace(f"pre_shared_key: '{MASK}'", "pre_shared_key_file: none"))
    result = bgpsvc("delete", "-f", str(path), "--yes")
    assert result.status == 0, result.err
    assert result.out.endswith("0 to create, 0 to update, 5 to delete\n")
    assert not any(running.control.configuration().values())
    assert bgpsvc("delete", "-f", str(path), "--yes").out == "nothing to change\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give KIND and NAME, or -f FILE"),
        (["vpc"], "give KIND and NAME, or -f FILE"),
        (["vpc", "vpc1", "-f", "x.yaml"], "give KIND and NAME, or -f FILE"),
        (
            ["session", "conn1-tunnel1"],
            "'session' is not a kind of resources; there is vpc, routing-policy, ",
        ),
        (["vpc", ".."], "'..' is not the name of anything"),
    ],
)
def test_what_cannot_be_deleted(bgpsvc: Run, arguments: list[str], message: str) -> None:
    result = bgpsvc("delete", *arguments)
    assert (result.status, result.out) == (2, "")
    assert message in result.err


def test_an_export_that_cannot_be_written(bgpsvc: Run, tmp_path: Path) -> None:
    result = bgpsvc("export", "-o", str(tmp_path))
    assert (result.status, result.out) == (1, "")
    assert result.err == f"bgpsvc: {tmp_path} can't be written: Is a directory\n"
