"""What the tests of imports share: the files as clouds give them out, and what goes with each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bgpsvc.importing import Choices, Imported, Refused, translate

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
CIDRS = ("192.168.0.0/16",)

CASES: Mapping[str, tuple[str, Choices]] = {
    "aws-bgp.xml": ("aws", Choices(vpc_cidrs=CIDRS)),
    "aws-answer.json": ("aws", Choices(vpc_cidrs=CIDRS, remote_cidrs=("10.8.0.0/16",))),
    "aws-generic.txt": ("aws", Choices(vpc_cidrs=CIDRS, local_addresses=("10.0.0.2", "10.0.0.3"))),
    "azure-two-connections.json": ("azure", Choices()),
    "azure-template.json": ("azure", Choices(name="branch")),
    "gcp-ha.yaml": ("gcp", Choices(vpc_cidrs=CIDRS)),
    "gcp-classic.json": ("gcp", Choices(key_files=("/etc/bgpsvc/gcp-key",))),
    "alibaba-both.json": ("alibaba", Choices(vpc_cidrs=CIDRS)),
    "alibaba-described.json": ("alibaba", Choices(vpc_cidrs=CIDRS)),
    "alibaba-single.json": ("alibaba", Choices()),
}
"""The files: of which cloud they are, and what has to be said beside them."""
SECRETS = (
    "aws.Key_for.tunnel_1",
    "aws.Key_for.tunnel_2",
    "static.Key_1",
    "static.Key_2",
    "azure-key-1",
    "azure-key-2",
    "template-key",
    "gcp-secret-0",
    "gcp-secret-1",
    "md5-secret-1",
    "ali-key-1",
    "ali-key-2",
    "ali-key-3",
)
"""The keys in the files; none may ever stand in a message."""


def read_secret(path: str) -> str:
    """What a file with a key holds."""
    return f"key.of.{Path(path).name}"


def text_of(name: str) -> str:
    """A file as it was given out."""
    return (FIXTURES / name).read_text()


def imported(name: str, text: str | None = None, choices: Choices | None = None) -> Imported:
    """The import of a file, or of a changed text of it."""
    cloud, usual = CASES[name]
    return translate(cloud, text_of(name) if text is None else text, choices or usual, read_secret)


def refusal(name: str, text: str | None = None, choices: Choices | None = None) -> str:
    """Why an import is refused, one reason a line."""
    try:
        imported(name, text, choices)
    except Refused as error:
        return str(error)
    raise AssertionError("it was accepted")


def warnings(found: Imported) -> str:
    """The warnings of an import, one a line."""
    return "".join(f"{warning}\n" for warning in found.warnings)
