"""A connection's facts in the words of a platform.

Templates are Jinja2's, in a sandbox: an operator's directory may have more of them, or replace ours.
They see `peer` (`facts.PeerFacts`), the platform's helpers, `header`, and `unsupported`. What a template
asks for and is not there is an error, never an empty place in a configuration.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel

from bgpsvc.peerconfig.facts import PeerFacts
from bgpsvc.peerconfig.platforms import JSON, PLATFORMS, TEXT, Platform
from bgpsvc.peerconfig.words import Unsupported

SUFFIX = ".j2"
_BUILT_IN = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_FILE = re.compile(r"_?[a-z0-9][a-z0-9_-]{0,62}\.j2")
"""Files that begin with `_` are parts that others include, no platforms."""
_ABOUT = re.compile(r"\s*\{#-?(.*?)-?#\}", re.DOTALL)
_LARGEST = 1 << 20
"""Bytes of a template."""


class UnknownPlatform(LookupError):
    """There is no such platform. `names` has those that there are."""

    def __init__(self, name: str, names: tuple[str, ...]) -> None:
        super().__init__(f"there is no platform {name!r}; there is {', '.join(names)}")
        self.name, self.names = name, names


class BrokenTemplate(ValueError):
    """A template cannot be used: `file`, `line` (None: all of it) and `what` is wrong there."""

    def __init__(self, file: str, line: int | None, what: str) -> None:
        super().__init__(f"{file}{'' if line is None else f':{line}'}: {what}")
        self.file, self.line, self.what = file, line, what


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration. `filename` is a proposal; `warnings` are what the reader must know."""

    text: str
    filename: str
    media_type: str
    warnings: tuple[str, ...]


def platforms(overrides: Path | None = None) -> Mapping[str, Platform]:
    """All platforms by name: ours, then those that only the operator's directory has.

    BrokenTemplate if a file of the directory, or the directory, cannot be read.
    """
    found = dict(PLATFORMS)
    for name, text in _of_operator(overrides):
        own = found.get(name)
        about = _about(text)
        extension = about.get("extension", "txt" if own is None else own.extension)
        if not _EXTENSION.fullmatch(extension):
            what = f"extension {extension!r}; allowed: 1 to 8 of a-z and 0-9"
            raise BrokenTemplate(str(Path(overrides or ".") / (name + SUFFIX)), 1, what)
        found[name] = Platform(
            name,
            about.get("title", name if own is None else own.title),
            extension,
            about.get("notes", "From the operator's directory."),
            about.get("comment", "#" if own is None else own.comment),
            JSON if extension == "json" else TEXT,
            {} if own is None else own.helpers,
            built_in=False,
        )
    return found


def render(peer: PeerFacts, platform: str, overrides: Path | None = None) -> Rendered:
    """The configuration of the other side of a connection.

    A file `<platform>.j2` of `overrides` stands in for ours; one of another name is a platform of its own.
    UnknownPlatform, Unsupported (the platform cannot do what the connection asks for), BrokenTemplate.
    """
    known = platforms(overrides)
    if platform not in known:
        raise UnknownPlatform(platform, tuple(known))
    chosen = known[platform]
    environment = _environment(platform, overrides)
    with _telling_where(platform + SUFFIX, _secrets(peer)):
        template = environment.get_template(platform + SUFFIX)
        text = template.render(peer=peer, header=partial(_header, peer, chosen))
    return Rendered(
        text if text.endswith("\n") else text + "\n",
        f"{peer.connection}-{platform}.{chosen.extension}",
        chosen.media_type,
        peer.warnings,
    )


def _of_operator(overrides: Path | None) -> Iterator[tuple[str, str]]:
    """Name and text of each platform in the operator's directory, in the order of the names."""
    if overrides is None:
        return
    try:
        files = sorted(path.name for path in overrides.iterdir() if path.suffix == SUFFIX)
    except OSError as error:
        raise BrokenTemplate(str(overrides), None, f"cannot be read: {error.strerror or error}") from None
    for file in files:
        if file.startswith("_"):
            continue
        if not _NAME.fullmatch(file.removesuffix(SUFFIX)):
            what = "is not the name of a platform; allowed: 1 to 63 of a-z, 0-9 and -, then .j2"
            raise BrokenTemplate(str(overrides / file), None, what)
        yield file.removesuffix(SUFFIX), _read(overrides / file)


def _about(text: str) -> dict[str, str]:
    """What a template says of itself: `title: …` and so on, in the comment that it begins with."""
    found = _ABOUT.match(text)
    pairs = (line.partition(":") for line in found[1].splitlines()) if found else ()
    return {key.strip(): value.strip() for key, _, value in pairs if value.strip()}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BrokenTemplate(str(path), None, f"cannot be read: {error.strerror or error}") from None
    if len(content) > _LARGEST:
        raise BrokenTemplate(str(path), None, f"is longer than {_LARGEST} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BrokenTemplate(str(path), line, "is not UTF-8") from None


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Loader(jinja2.BaseLoader):
    """Templates by their file's name: the operator's, else ours."""

    def __init__(self, overrides: Path | None) -> None:
        self._folders = [_BUILT_IN] if overrides is None else [overrides, _BUILT_IN]

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        # A name is no path: nothing of what is asked for can lead out of the two directories.
        if _FILE.fullmatch(template):
            state = self._state(template)
            for path, stamp in state:
                if stamp is not None:
                    return _read(path), str(path), lambda: self._state(template) == state
        raise jinja2.TemplateNotFound(template)

    def _state(self, template: str) -> list[tuple[Path, tuple[int, ...] | None]]:
        """Where a template may be, in order, and what tells one version of it from another."""
        return [(folder / template, _stamp(folder / template)) for folder in self._folders]


class _Sandbox(ImmutableSandboxedEnvironment):
    """jinja2's sandbox, where settings are values: their methods read files and load pickles."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, BaseModel):
            return attr in type(obj).model_fields
        return super().is_safe_attribute(obj, attr, value)


@lru_cache(maxsize=64)
def _environment(platform: str, overrides: Path | None) -> ImmutableSandboxedEnvironment:
    # Kept, because it keeps what it has compiled: that takes longer than all the rest.
    environment = _Sandbox(
        loader=_Loader(overrides),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    helpers = {"netmask": _netmask, "wildcard": _wildcard}
    helpers |= PLATFORMS[platform].helpers if platform in PLATFORMS else {}
    environment.globals.update(helpers | {"unsupported": _unsupported})
    environment.filters.update(helpers)
    return environment


def _header(peer: PeerFacts, platform: Platform, sign: str | None = None) -> str:
    """Comment lines for the top of a configuration: what it is, what is to be done, what is to be known."""
    lines = [
        f"{platform.title}: the other side of VPN connection {peer.connection} "
        f"(VPN gateway {peer.gateway}, VPC {peer.vpc}).",
        "Lines with EDIT name what only you can know; look at each of them.",
    ]
    if not peer.secrets:
        lines.append("Keys and passwords are left out: put yours where <...> stands.")
    lines += [f"Note: {warning}" for warning in peer.warnings]
    return "\n".join(f"{platform.comment if sign is None else sign} {line}" for line in lines)


def _unsupported(what: str, where: str, allowed: str) -> NoReturn:
    raise Unsupported(what, where, allowed)


def _netmask(network: IPv4Network | IPv6Network) -> str:
    """`255.255.0.0` of 10.0.0.0/16."""
    return str(network.netmask)


def _wildcard(network: IPv4Network | IPv6Network) -> str:
    """`0.0.255.255` of 10.0.0.0/16, as access lists want it."""
    return str(network.hostmask)


_MISTAKES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a template that is wrong raises while it is rendered."""


@contextmanager
def _telling_where(file: str, secrets: Sequence[str]) -> Iterator[None]:
    """What a template does wrong, as BrokenTemplate; `file` stands for one whose line nobody knows.

    The message goes into the log: it tells none of the secrets.
    """
    try:
        yield
    except (Unsupported, BrokenTemplate):
        raise
    except jinja2.TemplateSyntaxError as error:
        raise BrokenTemplate(error.filename or file, error.lineno, error.message or "is wrong") from None
    except jinja2.TemplateNotFound as error:
        raise BrokenTemplate(*_place(error, file), f"there is no template {error.message!r}") from None
    except _MISTAKES as error:
        told = any(secret in f"{error}" for secret in secrets)
        what = "fails, and the reason has a secret in it" if told else f"{error}"
        raise BrokenTemplate(*_place(error, file), what) from None


def _secrets(peer: PeerFacts) -> list[str]:
    """The keys and passwords that stand in the facts in clear."""
    found: list[str | None] = []
    for tunnel in peer.tunnels if peer.secrets else ():
        found.append(tunnel.pre_shared_key)
        found.append(None if tunnel.bgp is None else tunnel.bgp.password)
        found.append(None if tunnel.inside is None or tunnel.inside.bfd is None else tunnel.inside.bfd.key)
    return [secret for secret in found if secret is not None]


def _place(error: BaseException, file: str) -> tuple[str, int | None]:
    """File and line of the template in which an error was raised: jinja2 puts them into the traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(SUFFIX):
            return frame.filename, frame.lineno
    return file, None
