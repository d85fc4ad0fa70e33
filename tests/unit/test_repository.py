"""The repository's promises: locked packages, commands that exist, links that lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bgpsvc.cli import app

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "containers/runtime.lock", "containers/build.lock")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def pins(lock: str) -> dict[str, str]:
    """Package name to version of a lock file."""
    text = (ROOT / lock).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", text, flags=re.MULTILINE))


def normal(requirement: str) -> str:
    """The name in a requirement, as lock files spell it."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_everything_by_hash_and_names_no_index(lock: str) -> None:
    text = re.sub(r"\s+#.*", "", (ROOT / lock).read_text())
    entries = text.replace("\\\n", " ").strip().splitlines()
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==[^ ]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry), entry
    assert "://" not in text


def test_image_gets_the_tested_versions_and_no_development_package() -> None:
    everything = pins("requirements.lock")
    runtime = pins("containers/runtime.lock")
    assert runtime.items() <= everything.items()
    assert pins("containers/build.lock").items() <= everything.items()
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & runtime.keys()


def test_locks_hold_every_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {normal(item) for item in project["dependencies"]} <= pins("containers/runtime.lock").keys()
    extras = {normal(item) for group in project["optional-dependencies"].values() for item in group}
    assert extras - {"bgpsvc"} <= pins("requirements.lock").keys()


def test_every_make_target_in_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"^\$? *make ([a-z]+)|`make ([a-z]+)", page.read_text(), flags=re.MULTILINE))
        assert {first or second for first, second in named} <= targets, page


def documented_commands() -> list[tuple[str, list[str]]]:
    """Every `bgpsvc ...` in the pages' code, with the page's name; words of one command, comments cut off."""
    found: list[tuple[str, list[str]]] = []
    for page in PAGES:
        blocks = re.findall(r"^```.*?^```|`[^`\n]+`", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        # What a `text` block shows are forms of commands, not commands.
        code = [block for block in blocks if not block.startswith("```text")]
        for line in "\n".join(code).replace("\\\n", " ").splitlines():
            call = re.match(
                r"`?\s*(?:\$ )?(?:docker[ -]compose exec (?:-T )?gw\d )?bgpsvc ([a-z-][^`#|]*)", line
            )
            if call is not None:
                found.append((page.name, call[1].split()))
    return found


def refused(words: list[str]) -> str | None:
    """What the command line does not know among these words, None if it knows them all."""
    command: Any = typer.main.get_command(app)
    options: set[str] = set()
    while True:
        options |= {
            name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]
        }
        if not words or not hasattr(command, "resolve_command") or words[0].startswith("-"):
            break
        context = command.make_context("bgpsvc", [words[0]], resilient_parsing=True)
        _name, command, _rest = command.resolve_command(context, [words[0]])
        if command is None:
            return words[0]
        words = words[1:]
    used = [word.split("=")[0] for word in words[: words.index("--") if "--" in words else None]]
    return next(
        (word for word in used if word.startswith("-") and word not in {*options, "-h", "--help"}), None
    )


def test_every_documented_command_and_option_exists() -> None:
    commands = documented_commands()
    assert len(commands) > 10
    wrong = [(page, " ".join(words), bad) for page, words in commands if (bad := refused(words)) is not None]
    assert not wrong


def test_the_check_of_documented_commands_can_fail() -> None:
    assert refused(["show", "bgp", "sumary"]) is not None
    assert refused(["lab", "run", "--no-such-option"]) == "--no-such-option"


def test_every_relative_link_in_the_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_pure_modules_are_guarded_and_exist() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    pure = next(c for c in contracts if c["name"].startswith("The pure core"))["source_modules"]
    for module in pure:
        path = ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
    top_level = {path.stem for path in (ROOT / "bgpsvc").glob("*.py")} - {"__init__"}
    guarded = {module.removeprefix("bgpsvc.") for module in pure}
    does_io = {
        "__main__",
        "configfile",
        "daemon_metrics",
        "guard_metrics",
        "guardian",
        "guarding",
        "journal",
        "logs",
        "otel",
        "tap",
        "tracing",
        "ipsec_metrics",
        "metrics",
        "netns",
        "notify",
        "processes",
        "programmer",
        "accounts",
        "choices",
        "controller",
        "history",
        "runtime",
        "searching",
        "service",
        "settling",
        "surroundings",
        "tuning",
        "tunnel_metrics",
        "tunnelling",
        "turns",
        "watchdog",
    }
    assert top_level - does_io <= guarded, "a new module is either pure or said here to do I/O"


def test_lint_forbids_swallowed_exceptions() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert {"BLE", "S110", "S112", "E", "F"} <= set(ruff["lint"]["select"])
    assert ruff["line-length"] == 110


def commands_without(directory: Path, *hidden: str) -> dict[str, str]:
    """An environment in which the host has these commands' absence, and an ordinary user."""
    for name in ("bash", "cat", "python3", "apt-get"):
        (directory / name).write_text(f'#!/bin/sh\nexec /usr/bin/{name} "$@"\n')
    (directory / "id").write_text("#!/bin/sh\necho 1000\n")
    for path in directory.iterdir():
        path.chmod(0o755)
    assert not {path.name for path in directory.iterdir()} & set(hidden)
    return {**os.environ, "PATH": str(directory)}


def test_missing_system_packages_are_named_with_the_line_to_run(tmp_path: Path) -> None:
    result = subprocess.run(
        ["/usr/bin/bash", str(ROOT / "scripts" / "system-packages"), "lab"],
        env=commands_without(tmp_path, "ping"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "missing: iputils-ping" in result.stderr
    assert re.search(
        r"^ +sudo apt-get update && sudo apt-get install .*iputils-ping", result.stderr, re.MULTILINE
    )


def test_old_python_is_refused_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(
        [str(ROOT / "scripts" / "make-env"), str(tmp_path / "venv")],
        env={**os.environ, "PYTHON": str(old)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "Python 3.11 or newer is needed" in result.stderr
    assert not (tmp_path / "venv").exists()
