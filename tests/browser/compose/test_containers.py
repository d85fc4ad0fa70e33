"""The containers as the README describes them: up, two sessions, ping; a dead tunnel, and back.

Everything is asked from outside: by the documented commands, by ping, and by the interfaces' packet counters.
"""

from __future__ import annotations

import json
import subprocess
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path

import httpx
import yaml

from tests.e2e.compose_lab import FAILBACK_SECONDS, ROOT, SERVICES, SUMMARY, ComposeLab
from tests.netns.namespaces import wait_until

RELOADED = "the configuration was reloaded"


def test_documented_commands_show_two_sessions_and_a_way_through(lab: ComposeLab) -> None:
    assert "established 2" in lab.check("exec", "-T", "gw1", *SUMMARY)
    assert " 0% packet loss" in lab.check("exec", "-T", "ecs1", "ping", "-c", "3", "192.168.0.10")
    assert lab.established("gw2") == 2
    for service, tunnel in (("gw1", "conn1-tunnel1"), ("gw2", "conn2-tunnel1")):
        # A machine that stood still for the detection time has failed over, and is coming back.
        lab.until_carrying(service, tunnel, 2, FAILBACK_SECONDS)


def test_no_container_is_privileged_and_the_host_has_no_route_of_theirs(lab: ComposeLab) -> None:
    for service in SERVICES:
        assert lab.inspect(service, ".HostConfig.Privileged") == "false"
        assert lab.inspect(service, ".HostConfig.ReadonlyRootfs") == "true"
        # More than these (a bit for each, capability(7)) it has not even as root, nor can it get.
        dac_override, net_bind_service, net_admin, net_raw, ipc_lock, sys_nice = 1, 10, 12, 13, 14, 23
        given = (dac_override, net_bind_service, net_admin, net_raw, ipc_lock, sys_nice)
        status = dict(
            line.split(":\t", 1) for line in lab.output(service, "cat", "/proc/1/status").splitlines()
        )
        assert int(status["CapBnd"], 16) & ~sum(1 << bit for bit in given) == 0
        assert status["NoNewPrivs"] == "1"
    routes = Path("/proc/net/route").read_text()
    assert "0000A8C0" not in routes  # 192.168.0.0, as the kernel writes it
    assert "006433C6" not in routes  # 198.51.100.0


def test_who_is_not_on_this_machine_gets_to_no_dashboard(lab: ComposeLab) -> None:
    for gateway in ("gw1", "gw2"):
        (bound,) = json.loads(lab.inspect(gateway, "json .HostConfig.PortBindings")).values()
        assert [port["HostIp"] for port in bound] == ["127.0.0.1"]
        # Neither over the network of the dashboards, nor where the daemon itself listens.
        door = lab.output(gateway, "getent", "ahostsv4", f"{gateway}-door").split()[0]
        assert lab.exec("ecs1", "ping", "-c", "1", "-W", "1", door).returncode == (gateway == "gw2")
        get = f"import urllib.request as r; r.urlopen('http://{door}:8179/healthz', timeout=2)"
        assert lab.exec("ecs1", "python", "-c", get).returncode != 0 or gateway == "gw1"


def test_sighup_reloads_once_and_ends_nothing(lab: ComposeLab) -> None:
    def said() -> int:
        return lab.check("logs", "gw1").count(RELOADED)

    before = said()
    subprocess.run(["docker", "kill", "--signal", "HUP", lab.containers["gw1"]], check=True, timeout=60)
    wait_until(lambda: said() > before, lambda: f"a reload: {lab.check('logs', '--tail=20', 'gw1')}")
    assert httpx.get(f"{lab.urls['gw1']}/healthz", trust_env=False).status_code == 200
    assert said() == before + 1


def test_the_image_says_its_version(lab: ComposeLab) -> None:
    label = lab.inspect("gw1", 'index .Config.Labels "org.opencontainers.image.version"')
    assert lab.output("gw1", "bgpsvc", "--version").split() == ["bgpsvc", label]


def test_the_machine_s_own_compose_understands_the_file(lab: ComposeLab) -> None:
    found = [path for path in ("/usr/bin/docker-compose", lab.command[0]) if Path(path).exists()]
    for compose in found:  # Debian's is the last one of the first generation
        subprocess.run([compose, "config", "--quiet"], cwd=ROOT, check=True, timeout=60)


def test_the_engine_chooses_no_range() -> None:
    """It would take the next of its own each time, and one day that of a network of the scenario."""
    networks = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["networks"]
    ranges = [ip_network(part["subnet"]) for net in networks.values() for part in net["ipam"]["config"]]
    assert len(ranges) == len(networks) == 4
    assert not any(one.overlaps(other) for one, other in combinations(ranges, 2))


def test_only_ike_and_esp_come_in_from_the_other_gateway(lab: ComposeLab) -> None:
    (uplink,) = json.loads(lab.output("gw1", "ip", "-json", "address", "show", "to", "198.51.100.1"))
    listen = f"python -m bgpsvc.lab.wire --seconds 3 --link {uplink['ifname']} --inner 10.0.0.10,192.168.0.10"
    command = ["docker", "exec", lab.containers["gw1"], *listen.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        while listener.poll() is None:  # whenever it begins to listen, and as long as it does
            assert lab.ping(count=20)
        seen = json.loads(listener.communicate(timeout=60)[0])
    assert seen["esp"] > 0
    assert seen["clear"] == 0, seen["example"]


def test_the_key_of_a_tunnel_is_closed_to_others_and_shown_nowhere(lab: ComposeLab) -> None:
    key = lab.output("gw1", "cat", "/keys/tunnel1").strip()
    assert key == lab.output("gw2", "cat", "/keys/tunnel1").strip()
    assert lab.output("gw1", "stat", "--format=%a", "/keys/tunnel1").strip() == "600"
    assert key not in lab.output("gw1", "bgpsvc", "export") + lab.check("logs")
    # Health checks come and go meanwhile.
    read = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>&1 || true"
    shown = lab.output("gw1", "sh", "-c", read)
    assert "bgpsvc" in shown
    assert "denied" not in shown
    assert key not in shown


def test_propagation_off_takes_the_way_away_and_on_brings_it_back(lab: ComposeLab) -> None:
    lab.check("exec", "-T", "gw1", "bgpsvc", "propagate", "off", "gw1")
    wait_until(lambda: not lab.ping(), "the hosts do not reach each other any more")
    assert lab.established("gw1") == 2
    lab.check("exec", "-T", "gw1", "bgpsvc", "propagate", "on", "gw1")
    wait_until(lab.ping, lambda: f"the way is back: {lab.output('gw1', 'bgpsvc', 'get', 'gateways')}")
