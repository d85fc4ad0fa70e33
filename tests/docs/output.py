"""Whether what a command printed is what the page shows. Pure.

Line by line, in order; words, names, addresses and punctuation have to be the same. These may differ:

- `…` alone on a line stands for any lines, or none; inside a line for any text;
- the width of spaces and of ruled lines; empty lines at the end; colours;
- clock times, dates, durations (`00:00:07`, `0.15 s`, `2 min`), rates and sizes (`10.3 kbit/s`, `1.2 MB`),
  per cent;
- numbers that stand alone and have two digits or more, or decimals (counters, packets, process ids), whatever
  their length. A single digit has to be that digit, and an AS number for private use (64512 to 65534) that
  number: both are facts of the scenario, as `established 2` is;
- names of eight and more hexadecimal digits (SPIs, ids), and tokens of the API;
- states of a BGP session that is not established, which follow one another all the time: `Connect`, `idle` …;
- the bars of a chart;
- numbers behind a text that the page names (`<!-- varies: lost packets -->`).

So a changed word, column, status, address, a line more or less is drift, and fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from tests.docs.blocks import ANYTHING

_COLOURS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])")
_TIME_UNITS = "ns|µs|us|ms|s|min|m|h|d|seconds?|minutes?|hours?|days?"
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
# What stands before and behind a number that stands alone: no letter, digit, or part of a name or address.
_ALONE = r"(?<![\w./:-])"
_END = r"(?![\w/:-]|\.\w)"
_KINDS: tuple[tuple[str, str], ...] = (
    ("any", re.escape(ANYTHING)),
    ("token", rf"\bbgpsvc_[0-9a-f]+\.(?:[\w-]+|{ANYTHING})"),
    ("moment", r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d| UTC)?"),
    ("moment", r"\b\d{4}-\d\d-\d\d\b"),
    ("clock", rf"{_ALONE}(?:\d+d)?\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?![\w:])"),
    ("rate", rf"{_ALONE}{_NUMBER} [kMGT]?(?:bit/s|bps|packets/s|pps)(?!\w)"),
    ("size", rf"{_ALONE}{_NUMBER} ?(?:[kKMGT]i?)?B(?!\w)"),
    ("span", rf"{_ALONE}{_NUMBER} ?(?:{_TIME_UNITS})(?!\w)(?:(?: and)? {_NUMBER} (?:{_TIME_UNITS})(?!\w))?"),
    ("percent", rf"{_ALONE}{_NUMBER} ?%"),
    ("hexadecimal", r"\b(?:0x)?(?=[0-9a-f]*\d)[0-9a-f]{8,}\b"),
    ("session", r"\b(?:Idle|Connect|Active|OpenSent|OpenConfirm)\b"),
    ("trying", r"\b(?:idle|connect|opensent|openconfirm)\b"),
    ("bars", r"[·▁▂▃▄▅▆▇█](?:[ ·▁▂▃▄▅▆▇█]*[·▁▂▃▄▅▆▇█])?"),
    ("rule", r"[-─=━]{3,}"),
    ("space", r"\s+"),
    ("number", rf"{_ALONE}{_NUMBER}{_END}"),
)
_TOKEN = re.compile("|".join(f"(?P<k{index}>{pattern})" for index, (_, pattern) in enumerate(_KINDS)))
_PATTERNS = {name: f"(?:{'|'.join(p for n, p in _KINDS if n == name)})" for name, _ in _KINDS}


def clean(text: str) -> list[str]:
    """Lines as a reader sees them: no colours, no carriage returns, nothing empty at the end."""
    lines = [
        line.rpartition("\r")[2].rstrip() for line in _COLOURS.sub("", text).replace("\r\n", "\n").split("\n")
    ]
    while lines and not lines[-1]:
        lines.pop()
    return lines


@lru_cache(maxsize=4096)
def pattern(shown: str, varies: tuple[str, ...] = ()) -> re.Pattern[str]:
    """What a line may look like that the page shows as `shown`."""
    parts, at = [], 0
    shown = shown.strip()
    for token in _tokens(varies).finditer(shown):
        parts.append(re.escape(shown[at : token.start()]))
        if token.lastgroup == "free":
            parts.append(rf"{re.escape(token['text'])}\s*{_NUMBER}")
        else:
            parts.append(_allowed(_KINDS[int((token.lastgroup or "k0")[1:])][0], token[0]))
        at = token.end()
    return re.compile("".join([*parts, re.escape(shown[at:])]))


def _tokens(varies: tuple[str, ...]) -> re.Pattern[str]:
    """What is told apart in a line, with the numbers that the page lets go first."""
    if not varies:
        return _TOKEN
    texts = "|".join(re.escape(text) for text in varies)
    return re.compile(rf"(?P<free>(?P<text>{texts})\s*{_NUMBER})|{_TOKEN.pattern}")


def _allowed(kind: str, text: str) -> str:
    if kind == "any":
        return ".*"
    if kind == "space":
        return r"\s+"
    if kind == "number" and (len(text) == 1 or (text.isdigit() and 64512 <= int(text) <= 65534)):
        return rf"{_ALONE}{re.escape(text)}{_END}"
    return r"\b(?:idle|connect|active|opensent|openconfirm)\b" if kind == "trying" else _PATTERNS[kind]


def same(shown: str, printed: str, varies: tuple[str, ...] = ()) -> bool:
    """Whether a printed line is what the page shows; numbers behind one of `varies` may be any."""
    return pattern(shown, varies).fullmatch(printed.strip()) is not None


def difference(shown: Sequence[str], printed: Sequence[str], varies: tuple[str, ...] = ()) -> str | None:
    """None if the output is the one shown; else what was expected and what came, for people."""
    wanted = list(shown)
    while wanted and not wanted[-1].strip():
        wanted.pop()
    places = {0}
    for number, line in enumerate(wanted):
        if line.strip() == ANYTHING:
            reached = set(range(min(places), len(printed) + 1))
        else:
            reached = {at + 1 for at in places if at < len(printed) and same(line, printed[at], varies)}
        if not reached:
            at = min(places)
            came = printed[at : at + 3] or ["nothing more"]
            return _told(f"line {number + 1} of the output: {line.strip()}", came, printed)
        places = reached
    if len(printed) in places:
        return None
    rest = printed[max(places) :]
    return _told("the end of the output", rest[:5], printed)


def missing(shown: Sequence[str], printed: Sequence[str]) -> str | None:
    """None if each line shown is among what came, as of a picture drawn again and again; else which."""
    wanted = [line for line in shown if line.strip() and line.strip() != ANYTHING]
    lost = [line for line in wanted if not any(same(line, came) for came in printed)]
    return _told(f"among others: {lost[0].strip()}", printed[:3], printed) if lost else None


def _told(expected: str, came: Sequence[str], printed: Sequence[str]) -> str:
    lines = [f"  expected {expected}", *(f"  came     {line.strip()}" for line in came), "  all that came:"]
    return "\n".join([*lines, *(f"    {line}" for line in printed)])
