"""What the fields of a model are, for those who walk over the models: the loader and the printer."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args, get_origin

from pydantic.fields import FieldInfo

from bgpsvc.resources.draft import Path
from bgpsvc.resources.fields import Checked
from bgpsvc.resources.models import Resource


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One key. `of` judges a single value or is the model of a section; `many` makes it a list of them."""

    of: Checked | type[Resource]
    many: bool
    required: bool
    default: object

    @property
    def secret(self) -> bool:
        """True if the value is never to be shown."""
        return isinstance(self.of, Checked) and self.of.secret

    @property
    def allowed(self) -> str:
        """What may stand there, in words."""
        if self.many:
            return "a list"
        return (
            self.of.allowed
            if isinstance(self.of, Checked)
            else f"a mapping with the keys {', '.join(plan_of(self.of))}"
        )


@functools.cache
def plan_of(model: type[Resource]) -> Mapping[str, FieldPlan]:
    """The keys of a model in their order."""
    return MappingProxyType({key: _plan(info) for key, info in model.model_fields.items()})


def is_secret(model: type[Resource], path: Path) -> bool:
    """True if what stands at a path below a resource of this model is never to be shown."""
    for step in path:
        if isinstance(step, int):
            continue
        plan = plan_of(model).get(step)
        if plan is None or isinstance(plan.of, Checked):
            return plan is not None and plan.secret
        model = plan.of
    return False


def _plan(info: FieldInfo) -> FieldPlan:
    for part in (*info.metadata, *_parts(info.annotation)):
        if isinstance(part, Checked) or (isinstance(part, type) and issubclass(part, Resource)):
            return FieldPlan(part, get_origin(info.annotation) is tuple, info.is_required(), info.default)
    raise TypeError(f"nothing says what is allowed for {info.annotation}")


def _parts(annotation: object) -> Iterator[object]:
    """An annotation and what it is made of: `tuple[X, ...]`, `X | None`, `Annotated[X, ...]`."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
