"""`bgpsvc config check` and `show`: data on stdout, messages on stderr, exit status, secret files."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bgpsvc.cli.config import app
from bgpsvc.configfile import load_file
from bgpsvc.resources import load
from tests.unit.resources.base import BASE, replaced

GOLDEN = Path(__file__).parent / "golden"
ISSUE = GOLDEN / "issue.in.yaml"


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "gw.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_check_of_a_valid_file() -> None:
    result = run("check", str(ISSUE))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (f"{ISSUE}: valid: 1 VPC, 1 VPN gateway, 2 customer gateways, 1 VPN connection\n")


def test_check_of_a_bad_file_prints_every_problem(tmp_path: Path) -> None:
    file = written(tmp_path, (GOLDEN / "broken.in.yaml").read_text())
    result = run("check", file)
    assert (result.exit_code, result.stdout) == (1, "")
    lines = (GOLDEN / "broken.err").read_text().replace("broken.in.yaml:", f"{file}:").splitlines()
    assert result.stderr.splitlines() == [*lines, f"{file}: {len(lines)} problems"]


def test_warnings_go_to_standard_error(tmp_path: Path) -> None:
    result = run("check", written(tmp_path, BASE))
    assert result.exit_code == 0
    assert all(line.startswith("warning: ") for line in result.stderr.splitlines())
    assert "checked and not applied" in result.stderr


def test_show_prints_what_loads_as_the_same() -> None:
    shown = run("show", str(ISSUE))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == (GOLDEN / "issue.out.yaml").read_text()
    again = run("show", "-", stdin=shown.stdout)
    assert again.stdout == shown.stdout


def test_show_masks_secrets_unless_told_otherwise(tmp_path: Path) -> None:
    file = written(tmp_path, BASE)
    masked = run("show", file)
    assert masked.stdout.startswith("# Secrets are masked")
    assert "s3cret" not in masked.output
    assert "Pr3shared" not in masked.output
    revealed = run("show", file, "--reveal")
    assert load(revealed.stdout, "shown").intent == load(BASE, "gw.yaml").intent


def test_secret_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "bgp").write_text("from-file\n")
    file = written(tmp_path, replaced("password: s3cret", "password_file: secrets/bgp"))
    bgp = load_file(Path(file)).intent.connection("conn1").tunnels[0].bgp
    assert bgp is not None
    assert bgp.password is not None
    assert bgp.password.get_secret_value() == "from-file"
    assert "from-file" not in run("show", file, "--reveal").output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read: No such file or directory"),
        (b"caf\xe9 noir", "it has characters that are not ASCII"),
        (b"x" * 5000, "it is larger than 4096 bytes"),
        (b"", "what the file holds is empty"),
    ],
)
def test_bad_secret_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "bgp").write_bytes(content)
    result = run("check", written(tmp_path, replaced("password: s3cret", "password_file: bgp")))
    assert result.exit_code == 1
    assert message in result.stderr
    assert "noir" not in result.output


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    missing = run("check", str(tmp_path / "none.yaml"))
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "can't be read: No such file or directory" in missing.stderr
    latin = run("check", written(tmp_path, b"vpcs: []\n# caf\xe9\n"))
    assert latin.exit_code == 1
    assert ":2:6: is not text; allowed: UTF-8" in latin.stderr


def test_standard_input() -> None:
    result = run("check", "-", stdin="vpcs: 1\n")
    assert result.exit_code == 1
    assert result.stderr == "<stdin>:1:7: vpcs: '1': is not a list; allowed: a list\n<stdin>: 1 problem\n"
    marked = run("check", "-", stdin="\ufeff" + ISSUE.read_text())
    assert (marked.exit_code, marked.stdout.partition(":")[0]) == (0, "<stdin>")


def test_wrong_use_is_status_2() -> None:
    assert run("check").exit_code == 2
    assert run("show", str(ISSUE), "--everything").exit_code == 2
