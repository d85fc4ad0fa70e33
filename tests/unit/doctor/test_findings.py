"""What `bgpsvc doctor` makes of what it sees: tables of inputs and outcomes."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.cli import doctor
from bgpsvc.doctor import daemon, machine, network, trial
from bgpsvc.doctor.report import Finding, in_order, verdict
from bgpsvc.ipsec.choose import Finding as Found
from bgpsvc.ipsec.choose import Findings

ROOT = "CapEff:\t000001ffffffffff\n"


def outcomes(findings: Any) -> dict[str, str]:
    return {finding.check: finding.outcome for finding in findings}


@pytest.mark.parametrize(
    ("release", "outcome"),
    [
        ("6.1.0-18-amd64", "ok"),
        ("5.3.0", "ok"),
        ("5.2.21", "failed"),
        ("4.19.0-26", "failed"),
        ("10.0", "ok"),
        ("strange", "failed"),
    ],
)
def test_kernel_versions(release: str, outcome: str) -> None:
    assert machine.kernel_version(release).outcome == outcome


@pytest.mark.parametrize(("version", "outcome"), [((3, 11, 2), "ok"), ((3, 10, 9), "failed"), ((4, 0), "ok")])
def test_python_versions(version: tuple[int, ...], outcome: str) -> None:
    assert machine.python_version(version).outcome == outcome


def test_everything_is_permitted_to_root() -> None:
    assert outcomes(machine.capabilities(ROOT)) == {"capabilities": "ok"}


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        (machine.NET_ADMIN, {"cap_net_admin": "failed"}),
        (machine.NET_RAW, {"cap_net_raw": "failed"}),
        (machine.SYS_NICE, {"cap_sys_nice": "warning"}),
    ],
)
def test_a_missing_capability(missing: int, found: dict[str, str]) -> None:
    status = f"Name:\tx\nCapEff:\t{0x1FFFFFFFFFF & ~(1 << missing):016x}\n"
    assert outcomes(machine.capabilities(status)) == found


@pytest.mark.parametrize(
    ("hard", "outcome"), [(1024, "warning"), (4096, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_open_files(hard: int, outcome: str) -> None:
    assert machine.open_files(hard).outcome == outcome


@pytest.mark.parametrize(("kilobytes", "outcome"), [(512_000, "warning"), (2_000_000, "ok")])
def test_memory(kilobytes: int, outcome: str) -> None:
    assert machine.memory(f"MemTotal: 1 kB\nMemAvailable:   {kilobytes} kB\n").outcome == outcome


@pytest.mark.parametrize(
    ("limit", "outcome"), [("max\n", "ok"), (f"{2 << 30}\n", "ok"), (f"{1 << 28}\n", "warning")]
)
def test_memory_of_a_container(limit: str, outcome: str) -> None:
    found = machine.memory("MemAvailable: 4000000 kB\n", limit)
    assert found.outcome == outcome
    assert ("container" in found.summary) == (limit != "max\n")


@pytest.mark.parametrize(("state", "outcome"), [(0, "ok"), (5, "warning"), (None, "skipped")])
def test_the_clock(state: int | None, outcome: str) -> None:
    assert machine.clock(state).outcome == outcome


def test_ports_that_others_have() -> None:
    held = {500: {7: "racoon"}, 4500: {8: "charon"}}
    wanted = {500: "IKE", 4500: "NAT", 3784: "BFD", 4784: "more BFD"}
    found = list(
        network.taken("udp", wanted, lambda port: held.get(port, {}), lambda port: port in (*held, 4784))
    )
    assert outcomes(found) == {"udp_500": "warning", "udp_4784": "warning", "udp_ports": "ok"}
    assert "racoon (pid 7)" in found[0].summary
    assert "a process that cannot be seen" in found[1].summary
    assert "4500, 3784" in found[2].summary


@pytest.mark.parametrize(
    ("value", "mode", "outcome"), [("0", 0o444, "ok"), ("1", 0o644, "ok"), ("1", 0o444, "failed")]
)
def test_sysctls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, mode: int, outcome: str
) -> None:
    path = tmp_path / "net/ipv4/nexthop_compat_mode"
    path.parent.mkdir(parents=True)
    path.write_text(value + "\n")
    path.chmod(mode)
    # Root may write whatever the mode says; a read-only /proc/sys it may not.
    monkeypatch.setattr(os, "access", lambda path, how: bool(path.stat().st_mode & 0o200))
    found = network.sysctls(tmp_path)
    assert found.outcome == outcome
    assert ("--sysctl net.ipv4.nexthop_compat_mode=0" in found.remedy) == (outcome == "failed")


def test_lines_are_folded_for_a_terminal_and_counted() -> None:
    long = "word " * 40
    findings = (
        Finding("kernel", "a", "warning", long.strip(), long.strip()),
        Finding("time", "b", "skipped", "c"),
    )
    lines = list(doctor.story(findings, wide=True, colour=False, width=60))
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("  warning  word")
    assert lines[2].startswith(" " * 11 + "word")
    assert sum(line.startswith(" " * 11 + "-> ") for line in lines) == 1
    assert " ".join(lines).count("word") == 80
    assert lines[-1] == "0 ok, 1 warning, 0 failed, 1 not looked at"
    assert len(list(doctor.story(findings, wide=True, colour=False))) == 7
    twice = list(doctor.story(findings[:1] * 2, wide=False, colour=False))
    assert [line.lstrip()[:2] for line in twice[1:4]] == ["wa", "wa", "->"]  # the same remedy once


def networkd(root: Path, text: str | None) -> dict[str, str]:
    if text is not None:
        folder = root / "etc/systemd/networkd.conf.d"
        folder.mkdir(parents=True)
        (folder / "50-own.conf").write_text(text)
    return {finding.check: finding.remedy for finding in network.networkd(root)}


def test_networkd_that_does_not_run(tmp_path: Path) -> None:
    assert networkd(tmp_path, None) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ("Routes=no", "Rules=no", "NextHops=no")),
        ("[Network]\nManageForeignRoutes=no\n", ("Rules=no", "NextHops=no")),
        (
            "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=false\n"
            "ManageForeignNextHops=0\n",
            (),
        ),
    ],
)
def test_networkd_that_removes_routes_of_others(
    tmp_path: Path, text: str | None, words: tuple[str, ...]
) -> None:
    (tmp_path / "run/systemd/netif").mkdir(parents=True)
    remedy = networkd(tmp_path, text)["networkd"]
    assert [word for word in ("Routes=no", "Rules=no", "NextHops=no") if word in remedy] == list(words)


@pytest.mark.parametrize(("value", "outcome"), [("0", "ok"), ("1", "warning"), ("2", "ok")])
def test_reverse_path_filters(tmp_path: Path, value: str, outcome: str) -> None:
    (tmp_path / "rp_filter").write_text(value + "\n")
    assert network.reverse_path(tmp_path / "rp_filter").outcome == outcome


@pytest.mark.parametrize(("value", "outcome"), [("128", "warning"), ("1024", "ok")])
def test_neighbour_tables(tmp_path: Path, value: str, outcome: str) -> None:
    (tmp_path / "gc_thresh3").write_text(value + "\n")
    assert network.neighbours(tmp_path / "gc_thresh3").outcome == outcome


def chain(hook: str, policy: str) -> dict[str, Any]:
    return {"chain": {"family": "inet", "table": "filter", "name": hook, "hook": hook, "policy": policy}}


@pytest.mark.parametrize(
    ("ruleset", "outcome"),
    [
        ([{"metainfo": {}}], "ok"),
        ([chain("input", "accept"), chain("output", "drop")], "ok"),
        ([chain("input", "drop")], "warning"),
        ([chain("forward", "drop")], "warning"),
        ("nft is not installed", "skipped"),
    ],
)
def test_firewalls(ruleset: Any, outcome: str) -> None:
    (found,) = network.input_policy(ruleset)
    assert found.outcome == outcome


def having(*names: str) -> Findings:
    every = ("xfrm_interface", "esp", "nft", "vici", "tun", "charon", "libipsec")
    return Findings(
        **{name: Found(name in names, f"{name} here" if name in names else f"no {name}") for name in every}
    )


USERSPACE = ("tun", "charon", "libipsec", "nft")


@pytest.mark.parametrize(
    ("has", "bad"),
    [
        (("xfrm_interface", "esp", "nft", "charon"), {}),
        (("xfrm_interface", "esp", "nft"), {"charon": "warning"}),
        (USERSPACE, {"esp": "warning"}),
        (("tun", "nft"), dict.fromkeys(("driver", "esp", "libipsec", "charon"), "warning")),
        (
            ("xfrm_interface", "esp", "charon"),
            dict.fromkeys(("driver", "nftables", "esp", "tun", "libipsec"), "warning"),
        ),
    ],
)
def test_who_makes_the_tunnels(has: tuple[str, ...], bad: dict[str, str]) -> None:
    found = outcomes(trial.drivers(having(*has)))
    assert {check: outcome for check, outcome in found.items() if outcome != "ok"} == bad


def test_another_exabgp() -> None:
    assert daemon.exabgp("5.0.15").outcome == "ok"
    assert daemon.exabgp("5.1.0").outcome == "failed"


def test_the_dependency_is_the_version_that_is_needed() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert f'"exabgp=={daemon.EXABGP}"' in pyproject.read_text()


def test_state_directories(tmp_path: Path) -> None:
    private, open_to_all, file = tmp_path / "private", tmp_path / "open", tmp_path / "file"
    private.mkdir(mode=0o700)
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    file.touch()
    assert outcomes(daemon.directory(private))["state_dir"] == "ok"
    assert outcomes(daemon.directory(tmp_path / "not" / "yet"))["state_dir"] == "ok"
    assert outcomes(daemon.directory(open_to_all))["state_dir"] == "warning"
    assert outcomes(daemon.directory(file / "below"))["state_dir"] == "failed"


@pytest.mark.parametrize(
    ("text", "outcome"), [("vpcs: []\n", "ok"), ("vpcs: 7\n", "failed"), (None, "failed")]
)
def test_configurations(tmp_path: Path, text: str | None, outcome: str) -> None:
    path = tmp_path / "gw1.yaml"
    if text is not None:
        path.write_text(text)
    assert daemon.configuration(path).outcome == outcome


def test_order_and_verdict() -> None:
    clock, kernel = Finding("time", "a", "warning", ""), Finding("kernel", "b", "ok", "")
    assert in_order([clock, kernel]) == (kernel, clock)
    assert verdict([kernel]) == "ok"
    assert verdict([kernel, clock]) == "warning"
    assert verdict([clock, Finding("daemon", "c", "failed", "")]) == "failed"
