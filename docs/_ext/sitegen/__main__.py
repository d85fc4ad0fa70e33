"""`python -m sitegen OUT`: the site, in OUT, which is made anew."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.console import nocolor

from sitegen import reference, sources

DOCS = Path(__file__).parents[2]


def build(docs: Path, generated: Mapping[str, str], out: Path, tree: Path) -> int:
    """Builds the site out of sources that are assembled in the empty `tree`; 0 if there was no warning.

    Always the whole: Sphinx would leave pages alone that did not change themselves, with the table of
    contents of another time beside them.
    """
    sources.assemble(docs, tree, generated)
    if (out / "searchindex.js").exists():
        shutil.rmtree(out)
    nocolor()
    warnings = io.StringIO()
    app = Sphinx(
        srcdir=tree / docs.name,
        confdir=DOCS,
        outdir=out,
        doctreedir=tree / ".doctrees",
        buildername="html",
        status=None,
        warning=warnings,
        warningiserror=True,
    )
    app.build()
    # Their places are in the copy; people edit what it was made of.
    print(warnings.getvalue().replace(f"{tree}/", ""), end="", file=sys.stderr)
    for name in (".buildinfo", "objects.inv"):
        (out / name).unlink(missing_ok=True)
    return app.statuscode


def main() -> int:
    """Status 1 and the warnings on standard error if there are any; else where the site is."""
    out = Path(sys.argv[1]).resolve()
    try:
        with tempfile.TemporaryDirectory(prefix="bgpsvc-site-") as tree:
            status = build(DOCS, reference.files(), out, Path(tree))
    except (SphinxError, reference.Undescribed) as error:
        print(error, file=sys.stderr)
        return 1
    if status == 0:
        print(f"{out}/index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
