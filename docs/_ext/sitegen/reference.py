"""All generated pages of the reference."""

from __future__ import annotations

from sitegen import codes, commands, rest, settings
from sitegen.markup import Undescribed as Undescribed  # for those who call
from sitegen.markup import contents

HOME = "reference/README.md"
"""docs/ has one; ours goes on where it ends."""
_HOME = "\n".join(
    [
        "\n## Pages\n",
        "- [REST](rest/index.md): operations, fields, limits, problems",
        "- [Commands](cli.md): arguments, options, examples",
        "- [Settings](settings.md): keys of the configuration, the daemon's options, environment variables",
        "- [Codes](codes.md): events, reasons, states, findings",
        "",
        contents("rest/index", "cli", "settings", "codes"),
    ]
)


def files() -> dict[str, str]:
    """Path below docs/ to text, the same at each call. Undescribed if something has no description."""
    return {HOME: _HOME, **rest.files(), **commands.files(), **settings.files(), **codes.files()}
