"""The package's copyright file, on standard output: ours, and that of each Python package that comes along.

Called with the folder that has the packages' metadata.
"""

from __future__ import annotations

import sys
from email.message import Message
from importlib.metadata import distributions

HEAD = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: bgpsvc
Comment: /usr/lib/bgpsvc has Python packages of others. The texts of their licences
 are beside them, in /usr/lib/bgpsvc/lib/python3*/site-packages/*.dist-info.

Files: *
Copyright: 2026 The bgpsvc authors
License: Apache-2.0

License: Apache-2.0
 The text is in /usr/share/common-licenses/Apache-2.0.
"""


def licence(metadata: Message) -> str:
    """What a package says of its licence, in one line."""
    stated = metadata.get("License-Expression") or ""
    classified = [
        line.rsplit(" :: ", 1)[-1]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License :: ")
    ]
    short = (metadata.get("License") or "").strip()
    return stated or ", ".join(classified) or (short if "\n" not in short and short else "see its files")


def main(site: str) -> None:
    """Print it."""
    print(HEAD)
    found = {dist.metadata["Name"].lower(): dist for dist in distributions(path=[site])}
    print("Comment: Packages of others, and their licences:")
    for name, dist in sorted(found.items()):
        if name != "bgpsvc":
            print(f"  {dist.metadata['Name']} {dist.version}: {licence(dist.metadata)}")


if __name__ == "__main__":
    main(sys.argv[1])
