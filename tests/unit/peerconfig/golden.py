"""What every platform says of every scenario, as it was looked at and found good: `golden/SCENARIO/PLATFORM`.

    python -m tests.unit.peerconfig.golden --update

writes all of them anew; look at what `git diff` shows then. What a platform refuses is there as its reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from bgpsvc.peerconfig.platforms import PLATFORMS
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.words import Unsupported
from tests.unit.peerconfig.scenarios import SCENARIOS

FOLDER = Path(__file__).parent / "golden"
CASES = [(scenario, platform) for scenario in SCENARIOS for platform in PLATFORMS]


def text_of(scenario: str, platform: str) -> str:
    """What is rendered now."""
    try:
        return render(SCENARIOS[scenario].facts, platform).text
    except Unsupported as error:
        return f"refused: {error}\n"


def path_of(scenario: str, platform: str) -> Path:
    """Its golden file."""
    return FOLDER / scenario / f"{platform}.txt"


def update() -> Iterator[Path]:
    """Write the files anew; those that changed."""
    wanted = {path_of(*case): text_of(*case) for case in CASES}
    for path in FOLDER.glob("*/*"):
        if path not in wanted:
            path.unlink()
            yield path
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            yield path


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Golden files of peer configurations.")
    parser.add_argument("--update", action="store_true", required=True, help="Write them anew.")
    parser.parse_args()
    for path in update():
        print(path)


if __name__ == "__main__":
    main()
