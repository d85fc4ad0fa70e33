"""`bgpsvc import`: where the result goes, who may read it, and what is said of it."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest

from bgpsvc.configfile import load_file
from tests.unit.cli.conftest import Run
from tests.unit.importing.base import FIXTURES, SECRETS, text_of

AWS = str(FIXTURES / "aws-bgp.xml")
GCP = str(FIXTURES / "gcp-classic.json")
CIDR = ("--vpc-cidr", "192.168.0.0/16")


def test_the_result_goes_to_standard_output_and_what_is_said_to_standard_error(bgpsvc: Run) -> None:
    done = bgpsvc("import", "aws", AWS, *CIDR, "--name", "office")
    assert done.status == 0
    assert done.out.startswith("# From AWS: vpn-0123456789abcdef0.\n")
    assert "- name: office\n" in done.out
    lines = done.err.splitlines()
    assert lines[0].startswith(f"warning: {AWS}: vpn_connection: does not say the IKE version")
    assert all(line.startswith("warning: ") for line in lines)
    assert not [secret for secret in SECRETS if secret in done.err]


def test_a_file_is_readable_by_its_owner_alone_whatever_was_there(bgpsvc: Run, tmp_path: Path) -> None:
    made = tmp_path / "aws.yaml"
    before = os.umask(0)
    try:
        for _ in range(2):
            done = bgpsvc("import", "aws", AWS, *CIDR, "-o", str(made))
            assert (done.status, done.out) == (0, "")
            assert f"{made}: 1 VPN connection, 2 tunnels; it has the keys in clear" in done.err
            assert stat.S_IMODE(made.stat().st_mode) == 0o600
            assert len(load_file(made).intent.vpn_connections) == 1
            made.chmod(0o644)
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == [made]
    checked = bgpsvc("config", "check", str(made))
    assert (checked.status, checked.out.count("valid: ")) == (0, 1)


def test_a_device_is_written_into_and_a_link_stays(bgpsvc: Run, tmp_path: Path) -> None:
    pipe, link, made = tmp_path / "pipe", tmp_path / "link", tmp_path / "made"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert bgpsvc("import", "aws", AWS, *CIDR, "-o", str(pipe)).status == 0
        assert os.read(reader, 20) == b"# From AWS: vpn-0123"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    link.symlink_to(made)
    assert bgpsvc("import", "aws", AWS, *CIDR, "-o", str(link)).status == 0
    assert link.is_symlink()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_standard_input_is_read(bgpsvc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of("aws-bgp.xml")
    for start in ("", "\ufeff"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{start}{text}".encode())))
        done = bgpsvc("import", "aws", "-", *CIDR)
        assert done.status == 0
        assert "warning: <stdin>: vpn_connection: " in done.err


def test_keys_from_files_are_named_by_their_whole_path(
    bgpsvc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("a.key.of.ours\n")
    monkeypatch.chdir(tmp_path)
    done = bgpsvc("import", "gcp", GCP, "--key-file", "key")
    assert done.status == 0
    assert f"pre_shared_key_file: {tmp_path}/key\n" in done.out
    assert "a.key.of.ours" not in done.out + done.err
    assert "in clear" not in done.out + bgpsvc("import", "gcp", GCP, "--key-file", "key", "-o", "made").err
    missing = bgpsvc("import", "gcp", GCP, "--key-file", "absent")
    assert missing.status == 1
    place = "vpnTunnels/classic-tunnel (ike.pre_shared_key_file)"
    assert f"{GCP}: {place}: '{tmp_path}/absent' can't be read: No such file" in missing.err


def test_a_refusal_names_every_problem_and_leaves_no_file(bgpsvc: Run, tmp_path: Path) -> None:
    made = tmp_path / "out.yaml"
    done = bgpsvc("import", "gcp", GCP, "--vpc-cidr", "10.0.0.0/33", "-o", str(made))
    assert (done.status, done.out, made.exists()) == (1, "", False)
    reason, summary = done.err.splitlines()
    assert reason.startswith(f"{GCP}: vpnTunnels/classic-tunnel: no pre-shared key: the cloud ")
    assert "allowed: --key-file FILE with the key" in reason
    assert summary == "bgpsvc: nothing was written: 1 problem"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("ibm", AWS), 2, "'ibm' is not one of 'aws', 'azure', 'gcp', 'alibaba'"),
        (("gcp", AWS), 1, "is a file of AWS: use `bgpsvc import aws`"),
        (("aws", "/nonexistent/x"), 1, "/nonexistent/x can't be read: No such file or directory"),
        (("aws", AWS, *CIDR, "-o", "/nonexistent/x"), 1, "/nonexistent/x can't be written: No such file"),
        (("aws", AWS, "--vpc-cidr", "x/8"), 2, f"{AWS}: --vpc-cidr: 'x/8' is not a prefix: "),
        (("aws", AWS, *CIDR, "--name", "A"), 2, f"{AWS}: --name: 'A' is not a name; allowed: 1 to 55 of "),
        (("aws", AWS), 2, "--vpc-cidr: AWS does not say which networks are on this side: give them"),
    ],
)
def test_what_is_called_wrongly_ends_with_a_reason(
    bgpsvc: Run, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = bgpsvc("import", *arguments)
    assert (done.status, done.out) == (status, "")
    assert said in done.err


def test_what_is_no_text_is_refused(bgpsvc: Run, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"<vpn_connection\xff")
    done = bgpsvc("import", "aws", str(file))
    assert (done.status, done.out) == (1, "")
    assert "is not text; allowed: UTF-8" in done.err
