"""From one `Intent` to the next: apply changes, judge them, and say what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from bgpsvc.control import FieldChange, InUse, InvalidDocument, Mistake, PlannedResource
from bgpsvc.resources import cross_rules
from bgpsvc.resources.draft import Fault, PartialDraft, draft_of
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.index import Ref, claims, references
from bgpsvc.resources.json_reader import at, shown
from bgpsvc.resources.kinds import KIND_OF, KINDS, Kind
from bgpsvc.resources.models import Intent, Resource
from bgpsvc.resources.plain import name_of, plain
from bgpsvc.resources.problems import pointer_of

_FIXED: Mapping[str, tuple[str, ...]] = {
    "vpn_gateways": ("vpc",),
    "vpn_connections": ("vpn_gateway",),
    "destination_routes": ("vpn_gateway",),
    "policy_routes": ("vpn_gateway",),
    "vpc_routes": ("vpc",),
}
"""What cannot be changed afterwards, as in the cloud."""
_CONCERNS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "vpcs": (("cidrs",), ("vpn_gateways",)),
    "vpn_gateways": (("addresses",), ("vpn_connections",)),
    "customer_gateways": (("address", "asn"), ("vpn_connections",)),
    "vpn_connections": (("tunnels",), ("routing_policies",)),
}
"""Which fields of a kind the rules of its users look at, and which kinds these are."""
_OF_GATEWAYS = ("vpn_connections", "destination_routes", "policy_routes")


def intent_of(resources: Iterable[tuple[Kind, Resource]]) -> Intent:
    """All resources, by name within a kind, judged. Raises InvalidDocument (`/vpcs/vpc1/cidrs`)."""
    return with_changes(Intent(), resources, (), whole=True)


def with_changes(
    intent: Intent,
    puts: Iterable[tuple[Kind, Resource]],
    removals: Iterable[tuple[Kind, str]],
    *,
    whole: bool = False,
) -> Intent:
    """The Intent with some resources made or replaced and some gone, by name within a kind.

    Raises InvalidDocument if that breaks a rule between resources: with one put, pointers are inside that
    resource; with several, or if `whole`, they begin with `/<kind>/<name>`. What is wrong with a resource
    that was not put is told at the top, in a message that names it. Raises InUse if something is to go
    that others need. To remove what is not there is no error.
    """
    made = {(kind.key, name_of(resource)): resource for kind, resource in puts}
    gone = {(kind.key, name) for kind, name in removals} - made.keys()
    before = {ref: now for ref in (*made, *gone) if (now := intent.find(*ref)) is not None}
    single = len(made) == 1 and not whole
    mistakes = list(_fixed(before, made, single))
    if mistakes:
        raise InvalidDocument(mistakes)
    after = _replaced(intent, made, gone)
    after.__dict__["_index"] = intent.index.changed(before.items(), made.items())
    for ref in sorted(gone & before.keys()):
        if after.index.users.get(ref):
            raise InUse(in_words(ref), _sorted_words(after.index.users[ref]))
    draft = _touched(after, before, made)
    mistakes = [_mistake(fault, made, single) for rule in cross_rules.RULES for fault in rule(draft)]
    if mistakes:
        raise InvalidDocument(mistakes)
    return after


def _replaced(intent: Intent, made: Mapping[Ref, Resource], gone: Iterable[Ref]) -> Intent:
    changed = {ref[0] for ref in (*made, *gone)}
    lists: dict[str, Any] = {}
    for kind in KINDS:
        if kind.key not in changed:
            lists[kind.key] = getattr(intent, kind.key)
            continue
        items = dict(intent.of_kind(kind.key))
        items.update((name, item) for (key, name), item in made.items() if key == kind.key)
        for key, name in gone:
            if key == kind.key:
                items.pop(name, None)
        lists[kind.key] = tuple(items[name] for name in sorted(items))
    return Intent.model_construct(**lists)


def _fixed(before: Mapping[Ref, Resource], made: Mapping[Ref, Resource], single: bool) -> Iterator[Mistake]:
    for ref, resource in made.items():
        former = before.get(ref)
        for key in _FIXED.get(ref[0], ()) if former is not None else ():
            old, new = getattr(former, key), getattr(resource, key)
            if old != new:
                place = "" if single else pointer_of(ref)
                message = (
                    f"the {key} of a {KIND_OF[ref[0]].label} cannot be changed; delete it and make it anew"
                )
                yield Mistake(f"{place}/{key}", new, message, old)


def _touched(after: Intent, before: Mapping[Ref, Resource], made: Mapping[Ref, Resource]) -> PartialDraft:
    """A draft of the changed resources and of all that the rules compare them with."""
    judged = dict.fromkeys(ref for put in made for ref in _concerned(after, before.get(put), put))
    context: dict[Ref, None] = {}
    for put in made:
        for claim in claims(put[0], made[put]):
            context.update(dict.fromkeys(after.index.owners[claim]))
    context.update(judged)
    waiting = list(judged)
    while waiting:
        ref = waiting.pop()
        resource = after.find(*ref)
        for used in references(ref[0], resource) if resource is not None else ():
            if used not in context:
                context[used] = None
                waiting.append(used)
    for ref in [ref for ref in context if ref[0] == "customer_gateways"]:
        context.update(dict.fromkeys(_at_same_address(after, ref)))
    # Those that were put come last: where two collide, the rules blame the later one.
    order = sorted(context, key=lambda ref: (ref in made, ref))
    sections: dict[str, list[object]] = {key: [] for key in cross_rules.KINDS_IN_ORDER}
    for ref in order:
        resource = after.find(*ref)
        if resource is not None:
            sections[ref[0]].append(draft_of(resource, ref))
    names = {key: after.of_kind(key) for key in cross_rules.KINDS_IN_ORDER}
    return PartialDraft({key: tuple(items) for key, items in sections.items()}, names)


def _at_same_address(after: Intent, customer: Ref) -> Iterator[Ref]:
    """Customer gateways with the address of this one, and the connections to them."""
    resource = after.find(*customer)
    for claim in claims(customer[0], resource) if resource is not None else ():
        for other in after.index.owners[claim]:
            yield other
            yield from after.index.users.get(other, ())


def _concerned(after: Intent, former: Resource | None, put: Ref) -> Iterator[Ref]:
    """What was put, and those of its users that a rule may now refuse."""
    yield put
    keys, kinds = _CONCERNS.get(put[0], ((), ()))
    resource = after.find(*put)
    if former is None or all(getattr(former, key) == getattr(resource, key) for key in keys):
        return
    for user in after.index.users.get(put, ()):
        if user[0] in kinds:
            yield user
            if user[0] == "vpn_gateways":
                yield from (ref for ref in after.index.users.get(user, ()) if ref[0] in _OF_GATEWAYS)


def _mistake(fault: Fault, made: Mapping[Ref, Resource], single: bool) -> Mistake:
    kind, name, *rest = fault.path
    ref, inner = (str(kind), str(name)), tuple(rest)
    if ref not in made:
        return Mistake("", None, f"{in_words(ref)}, {pointer_of(inner)}: {fault.message}", fault.allowed)
    value = shown(at(plain(made[ref]), inner))
    place = "" if single else pointer_of(ref)
    return Mistake(f"{place}{pointer_of(inner)}", value, fault.message, fault.allowed)


def in_words(ref: Ref) -> str:
    """`VPN connection conn1`."""
    return f"{KIND_OF[ref[0]].label} {ref[1]}"


def users(intent: Intent, kind: Kind, name: str) -> tuple[str, ...]:
    """What refers to a resource, in words: `VPN connection conn1`, … Empty if nothing does."""
    return _sorted_words(intent.index.users.get((kind.key, name), ()))


def _sorted_words(refs: Iterable[Ref]) -> tuple[str, ...]:
    order = {kind.key: number for number, kind in enumerate(KINDS)}
    return tuple(in_words(ref) for ref in sorted(refs, key=lambda ref: (order[ref[0]], ref[1])))


# Differences


def diff(before: Intent, after: Intent) -> tuple[PlannedResource, ...]:
    """What was made and changed, in the order in which it can be made, then what is gone, in reverse.

    A new resource shows its keys, a changed one what changed. Secrets are masked; one that changed has the
    mask on both sides.
    """
    made: list[PlannedResource] = []
    gone: list[PlannedResource] = []
    for kind in KINDS:
        old, new = before.of_kind(kind.key), after.of_kind(kind.key)
        for name, resource in new.items():
            former = old.get(name)
            if former is resource:
                continue
            if former is None:
                fields = tuple(_new_fields(resource))
                made.append(PlannedResource("create", kind.key, name, fields))
            elif fields := tuple(_changes("", _open(former), _open(resource))):
                made.append(PlannedResource("update", kind.key, name, fields))
        gone.extend(PlannedResource("delete", kind.key, name) for name in old if name not in new)
    return (*made, *reversed(gone))


def _open(resource: Resource) -> dict[str, Any]:
    return plain(resource, lambda _pointer, secret: secret)


def _new_fields(resource: Resource) -> Iterator[FieldChange]:
    for key, value in plain(resource).items():
        yield FieldChange(pointer_of((key,)), None, value)


def _changes(pointer: str, old: Any, new: Any) -> Iterator[FieldChange]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _changes(f"{pointer}/{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and _has_sections(old) and _has_sections(new):
        for index in range(max(len(old), len(new))):
            yield from _changes(
                f"{pointer}/{index}", *(side[index] if index < len(side) else None for side in (old, new))
            )
    else:
        yield FieldChange(pointer, _masked(old), _masked(new))


def _has_sections(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _masked(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value
