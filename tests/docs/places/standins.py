"""`other: NAME`: commands that are not ours, by stand-ins which know what they may be asked.

`tests/docs/standins/NAME.yaml` says what each command takes and what it prints:

    daemon: true                # an empty `bgpsvc serve` runs beside it (default: false)
    files: {vpn.json: tests/unit/importing/…}        # lie in the reader's home
    commands:
      aws:
        - asked: ec2 describe-vpn-connections --vpn-connection-ids {id}
          prints: tests/unit/importing/aws/vpn.json  # a recorded answer, or `text: …`

The words of a call have to be those of `asked`, options in any order, `{…}` any one word. Everything else is
refused with what would be allowed, so a page with a wrong command fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import yaml

from tests.docs.places.gateway import SERVE, SOCKET, asked
from tests.docs.places.sandbox import SHARED, Sandbox, machine
from tests.docs.places.shell import ROOT

FOLDER = ROOT / "tests/docs/standins"
SCRIPT = '''#!/usr/bin/env python3
"""Answers as recorded, and refuses what was not."""
import json, re, sys

def parts(words):
    """Words, and options with their value, in any order."""
    plain, options, index = [], [], 0
    while index < len(words):
        word = words[index]
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            if not equals and index + 1 < len(words) and not words[index + 1].startswith("-"):
                index, value = index + 1, words[index + 1]
            options.append((name, value))
        else:
            plain.append(word)
        index += 1
    return plain, sorted(options)

def fits(asked, words):
    def same(a, b):
        return bool(re.fullmatch("[{].*[}]", a)) or a == b
    (first, options), (plain, given) = parts(asked), parts(words)
    return (len(first) == len(plain) and all(map(same, first, plain))
            and [name for name, _ in options] == [name for name, _ in given]
            and all(same(a, b) for (_, a), (_, b) in zip(options, given)))

answers = json.load(open(sys.argv[0] + ".json"))
for answer in answers:
    if fits(answer["asked"].split(), sys.argv[1:]):
        sys.stdout.write(answer["text"])
        sys.exit(0)
name = sys.argv[0].rpartition("/")[2]
sys.exit(f"{name}: no recorded answer to {sys.argv[1:]}; there are: {[a['asked'] for a in answers]}")
'''


@cache
def standin(name: str) -> Callable[[Sequence[str]], AbstractContextManager[Sandbox]]:
    """The place of a stand-in. KeyError if there is no file of that name."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise KeyError(f"other: {name}")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))

    @contextmanager
    def place(_commands: Sequence[str]) -> Iterator[Sandbox]:
        with machine("gw1") as sandbox:
            for command, answers in content.get("commands", {}).items():
                sandbox.script(command, SCRIPT)
                (sandbox.shared / "bin" / f"{command}.json").write_text(
                    json.dumps([_answer(a) for a in answers])
                )
            for file, source in content.get("files", {}).items():
                sandbox.write(file, (ROOT / source).read_text(encoding="utf-8"))
            if content.get("daemon"):
                sandbox.run(SERVE)
                sandbox.until(asked(SOCKET, "whoami"))
            sandbox.run(f"hash -r; test -d {SHARED}/bin")
            yield sandbox

    return place


def _answer(answer: dict[str, str]) -> dict[str, str]:
    text = answer["text"] if "text" in answer else (ROOT / answer["prints"]).read_text(encoding="utf-8")
    return {"asked": answer["asked"], "text": text}
