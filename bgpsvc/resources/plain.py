"""Resources as JSON documents and back: the form of REST and of the store.

A document has the keys of the configuration file. Secrets in it are masked; a mask that is written back keeps
the secret that is there, as does a pre-shared key that is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from pydantic import SecretStr

from bgpsvc.control import InvalidDocument, Mistake
from bgpsvc.resources.draft import Invalid, Path
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.json_reader import JsonReader, shown
from bgpsvc.resources.kinds import KIND_OF, KINDS, Kind
from bgpsvc.resources.models import IkeSettings, Intent, Resource, Tunnel, VpnConnection
from bgpsvc.resources.problems import pointer_of, printable
from bgpsvc.resources.reader import SecretReader, frozen, unknown_key
from bgpsvc.resources.schema import plan_of

SecretPrinter = Callable[[str, SecretStr], object]
"""Takes the JSON pointer of a secret and the secret; returns what stands for it in the document."""
MakeKey = Callable[[], str]

_DEEPEST = 50


def mask(pointer: str, secret: SecretStr) -> object:
    """What stands for a secret that is not shown."""
    return MASK


def reveal(pointer: str, secret: SecretStr) -> object:
    """The secret itself."""
    return secret.get_secret_value()


def plain(resource: Resource, secrets: SecretPrinter = mask) -> dict[str, Any]:
    """The document of a resource: defaults filled in, keys in the order of the model, None left out.

    A secret that came from a file stands there as any other, and the file's name is left out then: the
    document means the same wherever it is read.
    """
    return _object(resource, (), secrets)


def _object(resource: Resource, path: Path, secrets: SecretPrinter) -> dict[str, Any]:
    return {
        key: _value(item, (*path, key), secrets)
        for key, item in resource
        if item is not None and not _was_read(resource, key)
    }


def _value(value: object, path: Path, secrets: SecretPrinter) -> Any:
    if isinstance(value, Resource):
        return _object(value, path, secrets)
    if isinstance(value, tuple):
        return [_value(item, (*path, index), secrets) for index, item in enumerate(value)]
    if isinstance(value, SecretStr):
        return secrets(pointer_of(path), value)
    if isinstance(value, IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        return str(value)
    return value


def _was_read(resource: Resource, key: str) -> bool:
    of = key.removesuffix("_file")
    return of != key and getattr(resource, of, None) is not None


def secrets_of(resource: Resource) -> dict[str, str]:
    """The secrets of a resource by JSON pointer."""
    found: dict[str, str] = {}

    def take(pointer: str, secret: SecretStr) -> object:
        found[pointer] = secret.get_secret_value()
        return MASK

    plain(resource, take)
    return found


def parse(
    kind: Kind,
    document: Mapping[str, Any],
    *,
    keep: Resource | None = None,
    make_key: MakeKey | None = None,
    read_secret: SecretReader | None = None,
) -> Resource:
    """The resource of a JSON document. Raises InvalidDocument with everything that is wrong with it.

    `keep` is the resource as it is now: a mask takes the secret from there, as does a tunnel without a
    pre-shared key, and its name cannot change. A tunnel that has no key then gets one of `make_key`, and an
    `ike` section to hold it, unless its IPsec is set up elsewhere. `read_secret` reads the files that
    `password_file` and `pre_shared_key_file` name; without it they are refused.
    """
    reader = JsonReader(kind.model, document, keep, read_secret)
    draft = reader.resource(kind.model, document, ())
    mistakes = list(reader.mistakes)
    if not isinstance(draft, Invalid) and keep is not None:
        now, wished = name_of(keep), draft.get("name", str)
        if wished is not None and wished != now:
            mistakes.append(Mistake("/name", wished, "a resource cannot be renamed", now))
    if mistakes or isinstance(draft, Invalid):
        raise InvalidDocument(mistakes)
    resource = frozen(kind.model, draft)
    return _with_keys(resource, keep, make_key) if isinstance(resource, VpnConnection) else resource


def _with_keys(connection: VpnConnection, keep: Resource | None, make_key: MakeKey | None) -> VpnConnection:
    former = keep.tunnels if isinstance(keep, VpnConnection) else ()
    tunnels = [
        _with_key(tunnel, former[index] if index < len(former) else None, make_key)
        for index, tunnel in enumerate(connection.tunnels)
    ]
    return connection.model_copy(update={"tunnels": tuple(tunnels)})


def _with_key(tunnel: Tunnel, former: Tunnel | None, make_key: MakeKey | None) -> Tunnel:
    if tunnel.ike is not None and tunnel.ike.pre_shared_key is not None:
        return tunnel
    key = former.ike.pre_shared_key if former is not None and former.ike is not None else None
    elsewhere = tunnel.interface is not None and tunnel.ike is None
    if key is None and make_key is not None and not elsewhere:
        key = SecretStr(make_key())
    if key is None:
        return tunnel
    ike = (tunnel.ike or IkeSettings()).model_copy(update={"pre_shared_key": key})
    return tunnel.model_copy(update={"ike": ike})


def name_of(resource: Resource) -> str:
    """The name of a resource of any kind."""
    name: str = getattr(resource, "name")  # noqa: B009 - not every Resource has one, every kind does
    return name


# Whole configurations


def configuration(intent: Intent, secrets: SecretPrinter = mask) -> dict[str, Any]:
    """All resources as one document in the form of the configuration file."""
    return {key: [plain(item, secrets) for item in getattr(intent, key)] for key in plan_of(Intent)}


def parse_all(
    document: Mapping[str, Any],
    *,
    keep: Intent | None = None,
    make_key: MakeKey | None = None,
    read_secret: SecretReader | None = None,
) -> tuple[tuple[Kind, Resource], ...]:
    """All resources of a document in the form of the configuration file, each after those that it refers to.

    Each is parsed as `parse` does, with the one of its name in `keep`. Raises InvalidDocument; its pointers
    are those of the whole document (`/vpcs/0/cidrs/1`).
    """
    mistakes: list[Mistake] = []
    found: list[tuple[Kind, Resource]] = []
    for kind, index, item in _items(document, mistakes):
        name = item.get("name") if isinstance(item, Mapping) else None
        former = None if keep is None or not isinstance(name, str) else keep.find(kind.key, name)
        try:
            resource = parse(kind, item, keep=former, make_key=make_key, read_secret=read_secret)
        except InvalidDocument as error:
            mistakes.extend(
                Mistake(f"/{kind.key}/{index}{m.pointer}", m.value, m.message, m.allowed)
                for m in error.mistakes
            )
        else:
            found.append((kind, resource))
    mistakes.extend(_repeated(document))
    if mistakes:
        raise InvalidDocument(mistakes)
    return tuple(found)


def names_in(document: Mapping[str, Any]) -> tuple[tuple[Kind, str], ...]:
    """What a document in the form of the configuration file names, users before what they use.

    Nothing but the names is looked at. Raises InvalidDocument if an item has none.
    """
    mistakes: list[Mistake] = []
    found: list[tuple[Kind, str]] = []
    for kind, index, item in _items(document, mistakes):
        name = item.get("name") if isinstance(item, Mapping) else None
        if isinstance(name, str):
            found.append((kind, name))
        else:
            mistakes.append(Mistake(f"/{kind.key}/{index}/name", shown(name), "is not a name", "a name"))
    if mistakes:
        raise InvalidDocument(mistakes)
    return tuple(reversed(dict.fromkeys(found)))


def _items(document: object, mistakes: list[Mistake]) -> Iterator[tuple[Kind, int, Any]]:
    known = list(plan_of(Intent))
    allowed = f"the keys {', '.join(known)}"
    if not isinstance(document, Mapping):
        mistakes.append(Mistake("", shown(document), "is not an object", f"an object with {allowed}"))
        return
    for key in document:
        if key not in KIND_OF:
            mistakes.append(Mistake(printable(pointer_of((key,))), None, unknown_key(key, known), allowed))
    for kind in KINDS:
        items = document.get(kind.key, [])
        if not isinstance(items, list | tuple):
            mistakes.append(Mistake(f"/{kind.key}", shown(items), "is not a list", "a list"))
            continue
        for index, item in enumerate(items):
            yield kind, index, item


def _repeated(document: Mapping[str, Any]) -> Iterator[Mistake]:
    seen: dict[tuple[str, object], int] = {}
    for kind, index, item in _items(document, []):
        name = item.get("name") if isinstance(item, Mapping) else None
        if isinstance(name, str) and seen.setdefault((kind.key, name), index) != index:
            message = f"is the name of another one of {kind.key} already"
            yield Mistake(f"/{kind.key}/{index}/name", shown(name), message, "a name of its own")


def merge_patch(document: Any, patch: Any) -> Any:
    """The document with a merge patch applied (RFC 7396); neither is changed.

    Raises InvalidDocument if the patch is nested deeper than any document.
    """
    return _merged(document, patch, 0)


def _merged(document: Any, patch: Any, depth: int) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    if depth > _DEEPEST:
        message = f"the patch is nested more than {_DEEPEST} levels deep"
        raise InvalidDocument([Mistake("", None, message, "a part of the document")])
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value, depth + 1)
    return merged
