"""What is looked at of blocks that are not run: `config check` has to take the `yaml` ones."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml
from typer.testing import CliRunner

from bgpsvc.cli import app
from tests.docs.blocks import Block, Mistake

_SECRET_FILE = re.compile(r"(?:pre_shared_key_file|password_file): *[\"']?([^\s,}\"']+)")


def check(found: Sequence[Block]) -> None:
    """Mistake if a `yaml` block of a page is not valid, with what `config check` says."""
    for block in found:
        if block.language == "yaml":
            _parse(block)
            if not block.fragment and block.file is None:
                _check_configuration(block)


def _parse(block: Block) -> None:
    try:
        list(yaml.safe_load_all(block.text))
    except yaml.YAMLError as error:
        raise Mistake(f"{block.page}:{block.line}: this is no YAML: {error}") from None


def _check_configuration(block: Block) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(_SECRET_FILE.findall(block.text)):
            path = Path(folder, name.lstrip("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"a-secret-for-the-check-{number}")
            path.chmod(0o600)
        file = Path(folder, "page.yaml")
        file.write_text(
            _SECRET_FILE.sub(lambda found: found[0].replace(found[1], found[1].lstrip("/")), block.text)
        )
        result = CliRunner().invoke(app, ["config", "check", str(file)])
        if result.exit_code:
            told = result.output.replace(str(file), f"{block.page} (line 1 is {block.line})")
            hint = "no configuration of ours, or a part of one? <!-- fragment -->"
            raise Mistake(f"{block.page}:{block.line}: {told.strip()}\n  ({hint})")
