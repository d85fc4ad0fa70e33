"""The files of -f: merged, checked one by one, found again by the daemon's pointers."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from bgpsvc.cli import files
from bgpsvc.cli.client import Refused
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.kinds import STORED
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KINDS

CONNECTION = """\
vpn_connections:
  - name: conn1
    vpn_gateway: elsewhere
    enable_bgp: yes
    local_asn: 1.10
    import_policy:
    tunnels:
      - customer_gateway: cgw1
        interface: t1
        bgp: {tunnel_cidr: 169.254.10.0/30, local_ip: 169.254.10.1, password_file: secret}
        ike: {pre_shared_key: only-in-the-file}
      - customer_gateway: cgw1
        interface: t2
        bgp: {tunnel_cidr: 169.254.20.0/30, local_ip: 169.254.20.1, hold_time: 9}
"""
VPC = "vpcs:\n  - {name: vpc1, cidrs: [10.0.0.0/16]}\n"


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_the_kinds_are_those_of_the_resources() -> None:
    assert [(kind.key, kind.path, kind.label) for kind in STORED] == [
        (kind.key, kind.path, kind.label) for kind in KINDS
    ]


def test_a_directory_is_one_document_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, a=VPC, b=CONNECTION)
    (tmp_path / "secret").write_text("from-a-file\n")
    (tmp_path / "notes.txt").write_text("no YAML: [")
    (tmp_path / ".hidden.yaml").write_text("no YAML: [")
    found = files.read([str(tmp_path)]).document
    assert found["vpcs"] == [{"name": "vpc1", "cidrs": ["10.0.0.0/16"]}]
    (connection,) = found["vpn_connections"]
    first, second = connection.pop("tunnels")
    assert connection == {
        "name": "conn1",
        "vpn_gateway": "elsewhere",
        "enable_bgp": True,
        "local_asn": 65546,
    }, "values have their types, and what was not written is not there"
    assert first["bgp"] == {
        "tunnel_cidr": "169.254.10.0/30",
        "local_ip": "169.254.10.1",
        "password": "from-a-file",
    }
    assert first["ike"] == {"pre_shared_key": "only-in-the-file"}
    assert second["bgp"]["hold_time"] == 9
    json.dumps(found)


def test_files_of_secrets_stay_unread_if_they_are_not_needed(tmp_path: Path) -> None:
    write(tmp_path, b=CONNECTION)
    document = files.read([str(tmp_path)], secrets=False).document
    assert "password" not in document["vpn_connections"][0]["tunnels"][0]["bgp"]
    with pytest.raises(CliError, match=r"password_file: 'secret': can't be read: No such file"):
        files.read([str(tmp_path)])


def test_masks_are_sent_as_they_are(tmp_path: Path) -> None:
    text = CONNECTION.replace("password_file: secret", f'password: "{MASK}"').replace(
        "only-in-the-file", f'"{MASK}"'
    )
    (tunnel, _) = files.read([str(write(tmp_path, b=text) / "b.yaml")]).document["vpn_connections"][0][
        "tunnels"
    ]
    assert (tunnel["bgp"]["password"], tunnel["ike"]["pre_shared_key"]) == (MASK, MASK)


def test_a_mask_where_no_secret_belongs_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a=f'vpcs:\n  - {{name: "{MASK}", cidrs: [10.0.0.0/16]}}\n')
    with pytest.raises(CliError, match=r"a.yaml:2:12: vpcs\[0\].name"):
        files.read([str(tmp_path)])


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(VPC.encode())))
    assert files.read(["-"]).document["vpcs"][0]["name"] == "vpc1"


def test_every_problem_of_every_file_is_told_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, a=VPC.replace("10.0.0.0/16", "10.0.0.1/16"), b="vpcs: [", c="", d="vpcz: []\n")
    with pytest.raises(CliError) as refused:
        files.read([str(tmp_path)])
    lines = str(refused.value).splitlines()
    assert lines[0] == "4 problems"
    assert lines[1].startswith(f"{tmp_path}/a.yaml:2:26: vpcs[0].cidrs[0]: '10.0.0.1/16': ")
    assert lines[2].startswith(f"{tmp_path}/b.yaml:2:1: not valid YAML: ")
    assert lines[3].startswith(f"{tmp_path}/c.yaml:1:1: the file is empty")
    assert "did you mean 'vpcs'?" in lines[4]


def test_a_resource_given_twice_names_both_places(tmp_path: Path) -> None:
    write(tmp_path, a=VPC, b=VPC)
    with pytest.raises(CliError) as refused:
        files.read([str(tmp_path)])
    assert str(refused.value).splitlines()[1] == (
        f"{tmp_path}/b.yaml:2:12: vpcs[0].name: there is this VPC already, at {tmp_path}/a.yaml:2:5"
    )
    assert files.read([str(tmp_path / "a.yaml"), str(tmp_path / "a.yaml")]), "one file twice is one file"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.yaml", "can't be read: No such file or directory"),
        (".", "has no file whose name ends in .yaml"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(CliError, match=message):
        files.read([str(tmp_path / path)])


def refusal(*pointers: str) -> Refused:
    errors = [{"in": "body", "pointer": f"#{pointer}", "detail": "is wrong"} for pointer in pointers]
    return Refused("", 2, 422, {"errors": errors})


@pytest.mark.parametrize(
    ("pointer", "line"),
    [
        (
            "/vpn_connections/conn1/tunnels/1/bgp/hold_time",
            "14:80: vpn_connections[0].tunnels[1].bgp.hold_time",
        ),
        # The innermost thing around what is not there.
        ("/vpn_connections/conn1/tunnels/1/ike", "12:9: vpn_connections[0].tunnels[1].ike"),
        ("/vpn_connections/0/local_asn", "5:16: vpn_connections[0].local_asn"),
        ("/vpn_connections/conn1", "2:5: vpn_connections[0]"),
    ],
)
def test_what_the_daemon_refuses_is_found_in_the_files(tmp_path: Path, pointer: str, line: str) -> None:
    (tmp_path / "secret").write_text("x")
    sources = files.read([str(write(tmp_path, b=CONNECTION))])
    with pytest.raises(CliError) as refused, files.refused_at(sources):
        raise refusal(pointer)
    assert str(refused.value) == f"1 problem, says the daemon\n{tmp_path}/b.yaml:{line}: is wrong"
    with pytest.raises(CliError) as again, files.refused_at(sources, under="/documents"):
        raise refusal("/documents" + pointer)
    assert str(again.value) == str(refused.value)


def test_what_the_daemon_refuses_of_its_own_resources_is_named(tmp_path: Path) -> None:
    sources = files.read([str(write(tmp_path, a=VPC))])
    with pytest.raises(CliError) as refused, files.refused_at(sources):
        raise refusal("/vpn_gateways/gw7/vpc", "/vpcs", "")
    assert str(refused.value).splitlines() == [
        "3 problems, says the daemon",
        "vpn_gateways gw7 vpc: is wrong",
        "vpcs: is wrong",
        "is wrong",
    ]
