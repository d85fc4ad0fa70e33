"""The Debian package in a fresh Debian: installed, used, upgraded, removed, purged, as an operator sees it.

Two gateways with real IPsec and BGP between them run in one container, each by one of the units: gw1 in the
own network of the machine, gw2 in the named network namespace gw2. The tests follow the life of the package.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.machine import ROOT, Machine, built, engine, installed
from tests.package.repack import as_version

UNITS = ("bgpsvc", "bgpsvc@gw2")
GW2 = "bgpsvc --server unix:/var/lib/bgpsvc-netns/gw2/api.sock"
CAPABILITIES = 0x0000000000807400
"""NET_BIND_SERVICE, NET_ADMIN, NET_RAW, IPC_LOCK and SYS_NICE: bits of capabilities(7)."""
WIRES = """
set -e
ip netns add gw2
ip link add internet type veth peer name internet netns gw2
for at in "gw1 198.51.100.1 198.51.100.3 vpc1 10.0.0.1" "gw2 198.51.100.2 198.51.100.4 vpc2 192.168.0.1"; do
  set -- $at
  in=; [ $1 = gw1 ] || in="-n gw2"
  ip $in link set lo up
  ip $in address add $2/24 dev internet
  ip $in address add $3/24 dev internet
  ip $in link set internet up
  ip $in link add $4 type bridge
  ip $in address add $5/16 dev $4
  ip $in link set $4 up
done
"""
PIDS = r"""
for process in /proc/[0-9]*; do
  [ $process != /proc/$$ ] || continue
  case $(tr '\0' ' ' < $process/cmdline 2>/dev/null) in
    *bgpsvc.exabgp.launcher* | */ipsec/charon*) echo ${process#/proc/} ;;
  esac
done
"""
"""Prints the pids of speakers and charons; not that of this shell, whose words name them too."""
XFRM = """#!/bin/sh
# In place of ip: a kernel with XFRM interfaces and ESP. Of the 15 characters of a name a pid takes up to 7.
case "$1 $2" in
  "link add") name=${3%%[0-9]*}; [ ${#name} -le 8 ] && exec /sbin/ip link add "$3" type bridge ;;
  "xfrm state") exit 0 ;;
  *) exec /sbin/ip "$@" ;;
esac
"""
WATCHDOG = "mkdir -p /run/systemd/system/bgpsvc@gw2.service.d; cd /run/systemd/system/bgpsvc@gw2.service.d"
SECONDS = 240

# Building the package counts into the first test's time.
pytestmark = pytest.mark.timeout(1200)


def resources(side: int) -> str:
    """The file of a gateway, 1 or 2."""
    text = (ROOT / f"containers/lab/gw{side}.yaml").read_text()
    text = re.sub(r"pre_shared_key_file: /keys/(tunnel\d)", r"pre_shared_key: key-of-\1", text)
    # A machine that stands still for a moment is no dead tunnel here.
    text, times = re.subn(r"hold_time: \d+, bfd: \{interval_ms: \d+\}", "hold_time: 180", text)
    assert times == 2, text
    return text


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if not engine():
        pytest.skip("no container engine")
    with installed() as found:
        yield found


@pytest.fixture(scope="module")
def gateways(machine: Machine) -> Machine:
    """Both are up: sessions established, traffic passes."""
    machine.output(
        f"{WATCHDOG}; printf '[Service]\\nWatchdogSec=10\\n' > sooner.conf; systemctl daemon-reload"
    )
    machine.output(f"{WIRES}echo '# mine' > /etc/default/bgpsvc@gw2; systemctl enable --now bgpsvc@gw2")
    for side, command in ((1, "bgpsvc"), (2, GW2)):
        machine.put(resources(side), f"/root/gw{side}.yaml")
        machine.output(f"{command} apply --yes -f gw{side}.yaml")
    machine.until(lambda: established(machine) == 4, SECONDS, "all sessions come up")
    machine.until(lambda: reached(machine), SECONDS, "there is a way through")
    return machine


def established(machine: Machine) -> int:
    """Sessions that are Established, of both gateways."""
    said = [machine.run(f"{command} get sessions -o json").stdout for command in ("bgpsvc", GW2)]
    return sum(text.count('"state": "established"') for text in said)


def reached(machine: Machine) -> bool:
    return machine.run("ping -c 1 -W 1 -I 10.0.0.1 192.168.0.1").returncode == 0


def kept(machine: Machine) -> set[str]:
    """What is to outlive the daemon: TCP connections of BGP, and pids of speakers and charons."""
    pids = machine.output(PIDS)
    tcp = machine.output("ss --no-header --tcp --numeric state established sport = 179 or dport = 179")
    return {*pids.split(), *(" ".join(line.split()[2:]) for line in tcp.splitlines())}


def pid(machine: Machine, unit: str = "bgpsvc") -> int:
    return int(machine.output(f"systemctl show --property MainPID --value {unit}"))


def is_ready_with_another_pid(machine: Machine, former: int) -> bool:
    return has_another_pid(machine, "bgpsvc", former)


def has_another_pid(machine: Machine, unit: str, former: int) -> bool:
    state = machine.run(f"systemctl is-active {unit}").stdout.strip()
    return state == "active" and pid(machine, unit) not in (0, former)


# What is there after the installation ------------------------------------------------------------


def test_service_runs_after_installation_and_fits_the_machine(machine: Machine) -> None:
    assert machine.output("systemctl is-active bgpsvc; systemctl is-enabled bgpsvc").split() == [
        "active",
        "enabled",
    ]
    findings = json.loads(machine.output("bgpsvc doctor -o json"))["findings"]
    by_name = {finding["check"]: finding for finding in findings}
    assert not [finding for finding in findings if finding["outcome"] == "failed"]
    assert by_name["running"]["outcome"] == "ok"
    assert by_name["state_dir"]["outcome"] == "ok"
    assert json.loads(machine.output("bgpsvc get gateways -o json"))["items"] == []
    version = machine.output("bgpsvc --version").split()[-1]
    assert machine.output("dpkg-query --show --showformat '${Version}' bgpsvc") == version


def test_no_charon_of_the_system_runs_where_nobody_uses_it(machine: Machine) -> None:
    assert machine.output("systemctl is-enabled strongswan-starter").strip() == "enabled"
    assert machine.run("systemctl is-active strongswan-starter").stdout.strip() == "inactive"
    assert machine.output("ss --no-header --udp --listening --numeric sport = 500 or sport = 4500") == ""


def test_a_charon_that_somebody_uses_is_left_alone(machine: Machine) -> None:
    wanted = "/usr/lib/bgpsvc/charon-wanted"
    assert machine.run(wanted).returncode == 1
    machine.output("printf 'conn office\\n  auto=add\\n' >> /etc/ipsec.conf")
    assert machine.run(wanted).returncode == 0
    machine.output("sed -i '/^conn office/,$d' /etc/ipsec.conf; cp /etc/default/bgpsvc kept")
    machine.output("echo 'BGPSVC_OPTIONS=\"--ipsec xfrm\"' >> /etc/default/bgpsvc")
    assert machine.run(wanted).returncode == 0
    machine.output("cp kept /etc/default/bgpsvc")
    assert machine.run(wanted).returncode == 1


def test_the_charon_is_wanted_where_the_kernel_has_esp(machine: Machine) -> None:
    machine.output("mkdir -p xfrm")
    machine.put(XFRM, "/root/xfrm/ip")
    machine.output("chmod +x xfrm/ip; PATH=/root/xfrm:$PATH /usr/lib/bgpsvc/charon-wanted")
    assert "bgpsvc" not in machine.output("ip link")


def test_a_database_that_is_away_is_asked_for_again(machine: Machine) -> None:
    machine.output("cp /etc/default/bgpsvc kept")
    machine.output("echo 'BGPSVC_DATABASE=postgresql://bgpsvc@127.0.0.1:1/bgpsvc' >> /etc/default/bgpsvc")
    assert machine.run("systemctl restart bgpsvc").returncode != 0
    # And not that its driver may not look for a certificate in the home of root.
    machine.until(lambda: machine.logged("Connect call failed"), SECONDS, "the journal says why")
    assert machine.output("systemctl show --property StartLimitIntervalUSec --value bgpsvc").strip() == "0"
    machine.output("cp kept /etc/default/bgpsvc")
    machine.until(lambda: is_ready_with_another_pid(machine, 0), SECONDS, "it is started again")


def test_completion_and_manual_are_installed(machine: Machine) -> None:
    words = "COMP_WORDS='bgpsvc sh' COMP_CWORD=1 _BGPSVC_COMPLETE=complete_bash bgpsvc"
    assert "show" in machine.output(words).split()
    assert "bgpsvc" in machine.output("cat /usr/share/bash-completion/completions/bgpsvc")
    assert "Commands" in machine.output("zcat /usr/share/man/man1/bgpsvc.1.gz").title()


# Two gateways under the hardened units -----------------------------------------------------------


def test_two_gateways_carry_traffic(gateways: Machine) -> None:
    assert "established 2" in gateways.output("bgpsvc show bgp summary")
    tunnels = json.loads(gateways.output("bgpsvc get tunnels -o json"))["items"]
    assert len(tunnels) == 2
    assert " 0% packet loss" in gateways.output("ping -c 5 -i 0.2 -I 10.0.0.1 192.168.0.1")


def test_every_process_is_confined(gateways: Machine) -> None:
    groups = gateways.output("systemctl show --property ControlGroup --value " + " ".join(UNITS)).split()
    for group in groups:
        find = f"cat $(find /sys/fs/cgroup -path '*{group}/cgroup.procs' | head -n 1)"
        pids = gateways.output(find).split()
        # One that only looks after the firewall has ended before it is asked.
        found = [gateways.run(f"cat /proc/{each}/status") for each in pids]
        living = [status.stdout for status in found if status.returncode == 0]
        assert len(living) >= 9  # daemon, two of the guard, two speakers with a relay each, two charons
        for status in living:
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert fields["NoNewPrivs"] == "1", status
            assert fields["Seccomp"] == "2", status
            for kind in ("CapBnd", "CapEff", "CapPrm"):
                assert not int(fields[kind], 16) & ~CAPABILITIES, status
    inside = f"nsenter --target {pid(gateways)} --mount"
    for path in ("/usr/lib/bgpsvc/x", "/etc/x", "/proc/sys/kernel/core_pattern"):
        assert "Read-only file system" in gateways.run(f"{inside} sh -c 'echo x > {path}'").stderr
    assert gateways.output(f"{inside} ls /root /home 2>&1 || true").count("gw1.yaml") == 0


def test_exposure_is_what_the_page_says(machine: Machine) -> None:
    said = machine.output(
        "systemd-analyze security --no-pager bgpsvc.service bgpsvc@gw2.service 2>&1 | tail -n 1"
    )
    stated = re.search(r"exposure level of (\d\.\d)", (ROOT / "docs/how-to/package.md").read_text())
    found = re.search(r"(\d\.\d)", said)
    assert stated is not None
    assert found is not None, said
    assert float(found[1]) <= float(stated[1])


def test_daemons_that_crash_or_hang_return_and_nothing_else_notices(gateways: Machine) -> None:
    before, former = kept(gateways), {unit: pid(gateways, unit) for unit in UNITS}
    gateways.output(f"kill -KILL {former['bgpsvc']}; kill -STOP {former['bgpsvc@gw2']}")
    for unit in UNITS:
        gateways.until(
            lambda unit=unit: has_another_pid(gateways, unit, former[unit]),  # type: ignore[misc]
            SECONDS,
            f"{unit} is started again",
        )
    assert gateways.logged("Watchdog timeout"), gateways.log()
    gateways.until(lambda: established(gateways) == 4, SECONDS, "the sessions are adopted")
    assert kept(gateways) == before, gateways.log()
    assert reached(gateways)


def test_reload_reads_the_file_again(gateways: Machine) -> None:
    former = pid(gateways)
    gateways.output("systemctl reload bgpsvc")
    gateways.until(lambda: gateways.logged("SIGHUP"), SECONDS, "the file is read again")
    assert pid(gateways) == former


def test_upgrade_loses_no_packet_and_keeps_what_was_edited(gateways: Machine, tmp_path: Path) -> None:
    gateways.output("echo '# mine' >> /etc/default/bgpsvc")
    newer = as_version(built(), "9.0.0", tmp_path)
    copy = ["docker", "cp", str(newer), f"{gateways.name}:/root/"]
    subprocess.run(copy, check=True, capture_output=True, timeout=60)
    before, former = kept(gateways), [pid(gateways, unit) for unit in UNITS]
    gateways.output("ping -i 0.1 -I 10.0.0.1 192.168.0.1 > pings 2>&1 & echo $! > ping.pid")
    gateways.output(f"apt-get install --yes ./{newer.name}", seconds=300)
    assert gateways.output("dpkg-query --show --showformat '${Version}' bgpsvc") == "9.0.0"
    assert not {pid(gateways, unit) for unit in UNITS} & {0, *former}
    gateways.until(lambda: established(gateways) == 4, SECONDS, "the sessions are adopted")
    assert kept(gateways) == before, gateways.log()
    gateways.output("kill -INT $(cat ping.pid)")
    gateways.until(lambda: "packet loss" in gateways.output("cat pings"), 30, "ping ends")
    # The last one may have been on its way when ping was told to end.
    told = gateways.output("cat pings")
    answered = [int(number) for number in re.findall(r"bytes from .* icmp_seq=(\d+)", told)]
    (sent,) = re.findall(r"(\d+) packets transmitted", told)
    assert answered == list(range(1, len(answered) + 1)), told
    assert int(sent) - len(answered) <= 1, told
    assert "# mine" in gateways.output("cat /etc/default/bgpsvc")


# Stop, removal, purge ----------------------------------------------------------------------------


def test_stop_ends_sessions_and_tunnels_and_leaves_routes(gateways: Machine) -> None:
    gateways.output("systemctl stop bgpsvc")
    links = json.loads(gateways.output("ip -json link"))
    assert not [link for link in links if link.get("ifalias", "").startswith("bgpsvc")]
    assert "bgpsvc" not in gateways.output("nft list tables")
    assert "left-over" not in gateways.output("systemctl start bgpsvc; systemctl status bgpsvc")
    gateways.until(lambda: established(gateways) == 4, SECONDS, "the sessions return")


def test_stop_ends_sessions_and_tunnels_of_a_daemon_that_is_not_ready_yet(gateways: Machine) -> None:
    state = "systemctl show --property ActiveState --value bgpsvc"
    begun = f"until [ $({state}) = activating ]; do sleep 0.05; done"
    gateways.output(f"systemctl restart --no-block bgpsvc; {begun}; systemctl stop bgpsvc")
    assert (
        gateways.output("cat $(find /sys/fs/cgroup -path '*/bgpsvc.service/cgroup.procs') < /dev/null") == ""
    )
    gateways.output("systemctl start bgpsvc")


def test_removal_leaves_nothing_running_and_no_route(gateways: Machine) -> None:
    # As if it had crashed just before, so that nobody could clean up.
    gateways.output("systemctl kill --kill-who main --signal KILL bgpsvc@gw2; systemctl stop bgpsvc@gw2")
    gateways.output("apt-get remove --yes bgpsvc", seconds=300)
    for within in ("", "ip netns exec gw2 "):
        routes = f"{within}ip route show table all proto 201; {within}ip -6 route show table all proto 201"
        rules = f"{within}ip rule list | grep -e 201 -e 0x7ffffffe; {within}ip nexthop"
        aliases = f"{within}ip -details link | grep 'alias bgpsvc'; {within}nft list tables"
        assert gateways.run(f"{routes}; {rules}; {aliases}").stdout == ""
    assert kept(gateways) == set()
    assert gateways.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep 'bgpsvc[.]guard'").stdout == ""
    assert gateways.run("ls /usr/lib/bgpsvc /usr/bin/bgpsvc").stdout == ""
    assert gateways.output("ls /var/lib/bgpsvc/bgpsvc.db /etc/default/bgpsvc")


def test_purge_leaves_nothing(gateways: Machine) -> None:
    gateways.output("apt-get purge --yes bgpsvc", seconds=300)
    left = gateways.output(
        "find / -xdev -name '*bgpsvc*' -not -path '/root/*' -not -path '/proc/*' -not -path '/var/lib/dpkg/*'"
    )
    assert left == ""
    assert gateways.run("systemctl cat bgpsvc").returncode != 0
    assert gateways.run("dpkg-query --show bgpsvc").returncode != 0
    assert kept(gateways) == set()
