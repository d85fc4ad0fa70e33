"""Regular expressions over AS paths, in time linear in the length of the path.

The pattern comes from the operator, the path from a peer, and a backtracking matcher lets the two
together take for ever (`(1+)+$`, or a row of `.*`). So patterns become a non-deterministic automaton
whose sets of states are followed all at once (Thompson 1968); sets met before are remembered with
their successors, which makes a deterministic automaton of what is needed of it.

The language is what routers offer: `. [] [^] () | * + ? {n,m} ^ $`, and `_` for a boundary: the
beginning, the end, or one of the characters between ASNs. A pattern is searched, not matched whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SEPARATORS = frozenset(" ,{}()[]")
"""What stands between or around ASNs in an AS path's text."""
ALPHABET = frozenset("0123456789") | SEPARATORS
MAX_REPEAT = 200
MAX_NESTING = 20
MAX_STATES = 250
"""States of an automaton: the cost of one character, at worst."""
REMEMBERED = 2000
"""Sets of states that a pattern remembers; peers choose the paths, so there is a bound."""


@dataclass(frozen=True, slots=True)
class _Chars:
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Anchor:
    at_end: bool


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    options: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    node: _Node
    least: int
    most: int | None


_Node = _Chars | _Anchor | _Sequence | _Choice | _Repeat
_BOUNDARY = _Choice((_Anchor(False), _Chars(SEPARATORS), _Anchor(True)))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def parse(self) -> _Node:
        node = self._choice()
        if self._at < len(self._text):
            raise ValueError("has a closing parenthesis without an opening one")
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> _Node:
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            bounds = self._quantifier()
            if bounds is None:
                parts.append(atom)
                continue
            parts.append(_Repeat(atom, *bounds))
            if self._quantifier() is not None:
                raise ValueError("repeats a repetition; put the inner one in parentheses")
        return _Sequence(tuple(parts))

    def _atom(self) -> _Node:
        char = self._peek()
        self._at += 1
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char in ("*", "+", "?"):
            raise ValueError(f"has nothing before {char} that could be repeated")
        if char in ("^", "$"):
            return _Anchor(char == "$")
        if char == "_":
            return _BOUNDARY
        return _Chars(ALPHABET if char == "." else frozenset(char))

    def _group(self) -> _Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ValueError(f"has parentheses nested deeper than {MAX_NESTING}")
        node = self._choice()
        if self._peek() != ")":
            raise ValueError("has an opening parenthesis without a closing one")
        self._at += 1
        self._depth -= 1
        return node

    def _class(self) -> _Node:
        negated = self._peek() == "^"
        self._at += negated
        # As everywhere, a bracket that comes first stands for itself.
        end = self._text.find("]", self._at + 1)
        if end < 0:
            raise ValueError("has an opening bracket without a closing one")
        body = self._text[self._at : end]
        self._at = end + 1
        allowed: set[str] = set()
        index = 0
        while index < len(body):
            first, last = body[index], body[index]
            if body[index + 1 : index + 2] == "-" and index + 2 < len(body):
                last = body[index + 2]
                index += 2
                if not (first.isdigit() and last.isdigit() and first <= last):
                    raise ValueError(f"has the range {first}-{last}, which is none of digits")
            index += 1
            allowed |= SEPARATORS if first == "_" else {chr(c) for c in range(ord(first), ord(last) + 1)}
        return _Chars(ALPHABET - allowed if negated else frozenset(allowed))

    def _quantifier(self) -> tuple[int, int | None] | None:
        char = self._peek()
        if char in ("*", "+", "?"):
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        end = self._text.find("}", self._at)
        if char != "{" or end < 0:
            return None
        low, comma, high = self._text[self._at + 1 : end].partition(",")
        if not low.isdigit() or not (high.isdigit() or not high):
            return None  # the brace of an AS set
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > MAX_REPEAT:
            raise ValueError(f"repeats more than {MAX_REPEAT} times; the brace of an AS set is written [{{]")
        if most is not None and most < least:
            raise ValueError(f"repeats {least} to {most} times, which is backwards")
        self._at = end + 1
        return least, most


_FOUND, _FOUND_AT_END = 1, 2
"""Bits of a set of states, beside one for each state that reads: the pattern is found already; it is if
the path ends here."""


class _State:
    """A set of states of the automaton, as bits, and where it leads."""

    __slots__ = ("bits", "following")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.following: dict[str, _State] = {}


class AsPathRegex:
    """A compiled pattern; ValueError says what is wrong with its text."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        # Per state what it reads (None: nothing) or the place it needs, and where it leads.
        self._reads: list[frozenset[str] | _Anchor | None] = [None]
        self._leads: list[tuple[int, ...]] = [()]
        entry = self._build(_Parser(pattern).parse(), 0)
        self._entry = self._bits((entry,))
        self._begin = _State(self._bits((entry,), at_start=True))
        self._known: dict[int, _State] = {}
        # Per character the states that read it: their bit, and the bits of what they lead to.
        self._steps: dict[str, list[tuple[int, int]]] = {char: [] for char in ALPHABET}
        for state, reads in enumerate(self._reads):
            if isinstance(reads, frozenset):
                step = (4 << state, self._bits(self._leads[state]))
                for char in reads & ALPHABET:
                    self._steps[char].append(step)

    def search(self, path: str) -> bool:
        """True if the pattern is found anywhere in the text of an AS path."""
        state = self._begin
        for char in path:
            if state.bits & _FOUND:
                return True
            state = state.following.get(char) or self._step(state, char)
        return state.bits & (_FOUND | _FOUND_AT_END) != 0

    def _new(self, reads: frozenset[str] | _Anchor | None, *leads: int) -> int:
        if len(self._reads) >= MAX_STATES:
            raise ValueError("is too complex: its repetitions multiply")
        self._reads.append(reads)
        self._leads.append(leads)
        return len(self._reads) - 1

    def _build(self, node: _Node, after: int) -> int:
        """The state from which `node` leads to the state `after`."""
        match node:
            case _Chars():
                return self._new(node.allowed, after)
            case _Anchor():
                return self._new(node, after)
            case _Sequence():
                for part in reversed(node.parts):
                    after = self._build(part, after)
                return after
            case _Choice():
                return self._new(None, *[self._build(option, after) for option in node.options])
            case _Repeat():
                return self._build_repeat(node, after)

    def _build_repeat(self, repeat: _Repeat, after: int) -> int:
        entry = after
        if repeat.most is None:
            entry = self._new(None)
            self._leads[entry] = (self._build(repeat.node, entry), after)
        else:
            for _ in range(repeat.most - repeat.least):
                entry = self._new(None, self._build(repeat.node, entry), after)
        for _ in range(repeat.least):
            entry = self._build(repeat.node, entry)
        return entry

    def _bits(self, states: Iterable[int], at_start: bool = False) -> int:
        """The set of everything that can be reached without reading."""
        bits = sum(4 << s for s in self._reach(states, at_start, False) if self._reads[s] is not None)
        bits |= _FOUND if 0 in self._reach(states, at_start, False) else 0
        return bits | (_FOUND_AT_END if 0 in self._reach(states, at_start, True) else 0)

    def _reach(self, states: Iterable[int], at_start: bool, at_end: bool) -> set[int]:
        seen = set(states)
        waiting = list(seen)
        while waiting:
            state = waiting.pop()
            reads = self._reads[state]
            if isinstance(reads, frozenset) or (
                isinstance(reads, _Anchor) and not (at_end if reads.at_end else at_start)
            ):
                continue
            for following in self._leads[state]:
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        return seen

    def _step(self, state: _State, char: str) -> _State:
        # A search may begin at every character, so the entry is among the states each time.
        bits = self._entry
        for bit, following in self._steps.get(char, ()):
            if state.bits & bit:
                bits |= following
        found = self._known.get(bits)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._forget()
            found = self._known[bits] = _State(bits)
        state.following[char] = found
        return found

    def _forget(self) -> None:
        for known in (self._begin, *self._known.values()):
            known.following = {}
        self._known = {}
