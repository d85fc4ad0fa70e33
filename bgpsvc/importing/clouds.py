"""The clouds, the forms of their files, and the way from such a file to resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bgpsvc.importing import alibaba, aws, azure, gcp
from bgpsvc.importing.emit import Imported, emit
from bgpsvc.importing.model import Choices, FoundConnection
from bgpsvc.importing.notes import Notes, refused
from bgpsvc.resources import SecretReader

LARGEST = 8 * 1024 * 1024
"""Characters of a file: an account with hundreds of connections stays below a tenth."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """How a cloud's files are read: `looks_like` by their content, which forms, into connections."""

    name: str
    title: str
    forms: str
    looks_like: Callable[[str], bool]
    read: Callable[[str, Notes], list[FoundConnection]]


CLOUDS: Mapping[str, Cloud] = MappingProxyType(
    {
        cloud.name: cloud
        for cloud in (
            Cloud("aws", "AWS", aws.FORMS, aws.looks_like, aws.read),
            Cloud("azure", "Azure", azure.FORMS, azure.looks_like, azure.read),
            Cloud("gcp", "Google Cloud", gcp.FORMS, gcp.looks_like, gcp.read),
            Cloud("alibaba", "Alibaba Cloud", alibaba.FORMS, alibaba.looks_like, alibaba.read),
        )
    }
)


def translate(
    cloud: str, text: str, choices: Choices | None = None, read_secret: SecretReader | None = None
) -> Imported:
    """Resources for the connections that a cloud's file describes.

    `cloud` is a key of CLOUDS; `read_secret` reads the files that the choices name. Raises Refused with all
    that stands against it: the form is not known, something is missing in it, or the service cannot do what
    the cloud wants.
    """
    chosen = CLOUDS[cloud]
    if len(text) > LARGEST:
        raise refused(
            "", f"is larger than {LARGEST // 1024 // 1024} million characters", "one cloud's answer"
        )
    if not chosen.looks_like(text):
        raise refused("", _unknown(chosen, text), chosen.forms)
    notes = Notes()
    connections = chosen.read(text, notes)
    return emit(chosen.title, connections, choices or Choices(), notes, read_secret)


def _unknown(wanted: Cloud, text: str) -> str:
    for cloud in CLOUDS.values():
        if cloud is not wanted and cloud.looks_like(text):
            return f"is a file of {cloud.title}: use `bgpsvc import {cloud.name}`"
    if not text.strip():
        return "is empty"
    begins = text.lstrip("\ufeff \t\r\n")[:1]
    form = {"<": "XML", "{": "JSON", "[": "JSON"}.get(begins, "text")
    return f"is {form}, and not in a form of {wanted.title} that is known here"
