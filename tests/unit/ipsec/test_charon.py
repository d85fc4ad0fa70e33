"""charon's configuration and folder, the ports, and the rules: what can be said without starting anything."""

from __future__ import annotations

import json
import os
import socket
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bgpsvc.ipsec import charon, ports
from bgpsvc.ipsec.charon import Home, find_program, plugins_of, recorded_ports, recorded_tunnel, render
from bgpsvc.ipsec.firewall import Clamp, Translation
from bgpsvc.ipsec.firewall import render as render_rules
from bgpsvc.ipsec.model import Cause
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec.ports import Ports, free_ports
from bgpsvc.model import SessionId


def installed(folder: Path, *plugins: str) -> Path:
    """charon's program with these plugins."""
    program = folder / "charon"
    program.touch(0o755)
    (folder / "plugins").mkdir()
    for name in plugins:
        (folder / "plugins" / f"libstrongswan-{name}.so").touch()
    return program


def test_the_program_is_found_or_its_packages_are_named(tmp_path: Path) -> None:
    program = installed(tmp_path)
    assert find_program([tmp_path / "missing", program]) == program
    with pytest.raises(
        DriverError, match="install strongswan-charon strongswan-swanctl libstrongswan-standard-plugins"
    ) as caught:
        find_program([tmp_path / "missing"])
    assert caught.value.cause is Cause.CHARON_DOWN


def test_only_installed_plugins_are_loaded(tmp_path: Path) -> None:
    program = installed(tmp_path, *charon.NEEDED_PLUGINS, "aes", "attest")
    found = plugins_of(program)
    assert set(found) == {*charon.NEEDED_PLUGINS, "aes"}
    # charon takes ESP from the first plugin that offers it.
    assert found.index("kernel-libipsec") < found.index("kernel-netlink")


def test_a_missing_plugin_is_named_with_its_packages(tmp_path: Path) -> None:
    program = installed(tmp_path, *(name for name in charon.NEEDED_PLUGINS if name != "kernel-libipsec"))
    with pytest.raises(DriverError, match=r"plugins kernel-libipsec are missing .* libcharon-extra-plugins"):
        plugins_of(program)


def test_the_configuration_has_ports_and_no_path() -> None:
    text = render(Ports(10500, 10501), ["vici", "socket-default"])
    for line in ("port = 10500", "port_nat_t = 10501", "load = vici socket-default", "install_routes = no"):
        assert f"  {line}\n" in text
    assert text.count("{") == text.count("}")
    assert "socket = unix://charon.vici\n" in text


def test_a_path_that_is_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    Home.of(Path("/var/lib/bgpsvc/ipsec"), SessionId("c" * 80)).check()
    with pytest.raises(DriverError, match="choose a shorter state dir"):
        Home.of(Path("/" + "x" * 90), SessionId("conn1-tunnel1")).check()


def test_folders_are_private_and_differ(tmp_path: Path) -> None:
    homes = [Home.of(tmp_path, SessionId(name)) for name in ("conn1-tunnel1", "conn1-tunnel2")]
    assert homes[0].path != homes[1].path
    homes[0].prepare()
    assert homes[0].path.stat().st_mode & 0o777 == 0o700
    homes[0].remove()
    homes[0].remove()
    assert not homes[0].path.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tunnel": 1, "ports": ["a", "b"]}', '{"ports": [1]}'])
def test_a_record_that_is_none_says_nothing(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    (tmp_path / "record.json").write_text(text)
    assert recorded_tunnel(home.read()) is None
    assert recorded_ports(home.read()) is None


def test_a_record_says_whose_and_which_ports(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write({"tunnel": "conn1-tunnel1", "ports": [10500, 10501]})
    assert json.loads((tmp_path / "record.json").read_text())["ports"] == [10500, 10501]
    assert recorded_tunnel(home.read()) == "conn1-tunnel1"
    assert recorded_ports(home.read()) == Ports(10500, 10501)


def test_the_pid_file_of_another_charon_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "charon.pid"
    monkeypatch.setattr(charon, "PID_FILE", path)
    charon.free_pid_file(None)
    path.write_text(f"{os.getpid()}\n")
    with pytest.raises(DriverError, match=f"another charon, pid {os.getpid()}"):
        charon.free_pid_file(None)
    charon.free_pid_file(os.getpid() + 1)
    assert path.exists()
    charon.free_pid_file(os.getpid())
    assert not path.exists()
    path.write_text("nonsense")
    charon.free_pid_file(None)
    assert not path.exists()


def test_ports_are_those_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        used = other.getsockname()[1]
        first = used - used % 2
        monkeypatch.setattr(ports, "PAIRS", range(first - 2, first + 2, 2))
        assert ports.unused(Ports(first, first + 1)) is False
        with pytest.raises(DriverError, match="all UDP ports"):
            free_ports([Ports(first - 2, first - 1)])


LOCAL, REMOTE = IPv4Address("198.51.100.1"), IPv4Address("203.0.113.1")


def test_rules_replace_the_table_in_one_step() -> None:
    assert render_rules((), ()) == "add table inet bgpsvc\ndelete table inet bgpsvc\n"
    text = render_rules([Translation(REMOTE, LOCAL, 10500, 10501)], [Clamp("t1", 1400), Clamp("t2", 1300)])
    assert text.startswith("add table inet bgpsvc\ndelete table inet bgpsvc\ntable inet bgpsvc {\n")
    assert (
        "udp dport 500 udp dport set ip saddr . ip daddr map { 203.0.113.1 . 198.51.100.1 : 10500 }" in text
    )
    assert (
        "udp sport set ip daddr . udp sport map { 203.0.113.1 . 10500 : 500, 203.0.113.1 . 10501 : 4500 }"
        in text
    )
    assert 'iifname vmap { "t1" : jump clamp_1400, "t2" : jump clamp_1300 }' in text
    assert "ipv4 tcp option maxseg size > 1360 tcp option maxseg size set 1360" in text
    assert "ipv6 tcp option maxseg size > 1240 tcp option maxseg size set 1240" in text


def test_rules_do_not_depend_on_the_order_of_tunnels() -> None:
    both = [Translation(REMOTE, LOCAL, 10500, 10501), Translation(LOCAL, None, 10502, 10503)]
    assert render_rules(both, ()) == render_rules(both[::-1], ())
    assert "ip saddr map { 198.51.100.1 : 10502 }" in render_rules(both, ())


def test_tunnels_of_which_some_have_no_local_address_are_sorted_too() -> None:
    render_rules([Translation(REMOTE, LOCAL, 10500, 10501), Translation(REMOTE, None, 10502, 10503)], ())
