"""The runner fails where it should: on a page that leaves something out, a wrong command, drifted output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import Mistake, blocks
from tests.docs.checks import check
from tests.docs.output import difference, missing, same
from tests.docs.places.sandbox import Sandbox, machine
from tests.docs.run import NOT_RUN, Wrong, known, run_blocks


def page(text: str) -> str:
    return text.replace("'''", "```")


REFUSED = {
    "no language": ("'''\nbgpsvc get tunnels\n'''\n", "page.md:1: a block without a language"),
    "no place": ("text\n\n'''sh\nbgpsvc get tunnels\n'''\n", "page.md:3: where does this run?"),
    "indentation": ("text\n\n    bgpsvc get tunnels\n", "page.md:3: a code block by indentation"),
    "no command": (
        "<!-- run: lab -->\n'''console\nID  ROLE\n'''\n",
        "page.md:3: a console block begins with",
    ),
    "typo": ("<!-- run: lab, exits 1 -->\n'''sh\nfalse\n'''\n", "page.md:1: 'exits 1' is no option"),
    "no colon": ("<!-- wait bgpsvc -->\n'''sh\nfalse\n'''\n", "page.md:1: 'wait bgpsvc' is no comment"),
    "in the air": ("<!-- wait: true -->\n\ntext\n", "page.md:1: this comment has to stand in front"),
    "at the end": ("'''text\nx\n'''\n<!-- given: true -->\n", "page.md:4: no code block follows"),
    "not run": ("<!-- wait: true -->\n'''text\nx\n'''\n", "page.md:2: text is not run"),
    "no end": ("'''text\nx\n", "page.md:1: this block has no end"),
}


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED)
def test_a_page_that_leaves_something_out_is_refused(text: str, told: str) -> None:
    with pytest.raises(Mistake) as refused:
        blocks("page.md", page(text))
    assert told in str(refused.value)


def test_a_place_holds_for_its_block_or_for_all_that_follow() -> None:
    text = "<!-- run: lab -->\n\ntext\n\n'''sh\na\n'''\n<!-- run: gateway -->\n'''sh\nb\n'''\n'''sh\nc\n'''\n"
    assert [block.place for block in blocks("page.md", page(text))] == ["lab", "gateway", "lab"]


@pytest.mark.parametrize("name", ["laboratory", "other: nobody"])
def test_a_place_that_nobody_knows_is_refused(name: str) -> None:
    found = blocks("page.md", page(f"<!-- run: {name} -->\n'''sh\na\n'''\n"))
    with pytest.raises(Mistake, match=f"page.md:2: there is no place '{name}'"):
        known(found)


def test_a_configuration_that_is_not_valid_is_refused() -> None:
    wrong = "'''yaml\nvpcs:\n  - {name: vpc1, cidr: [10.0.0.0/16]}\n'''\n"
    with pytest.raises(Mistake, match=r"page.md:2.*cidr"):
        check(blocks("page.md", page(wrong)))
    check(blocks("page.md", page(f"<!-- fragment -->\n{wrong}")))


SHOWN = "169.254.10.2  65500       14  00:00:07             2  bfd 150 ms, conn1-tunnel1"


@pytest.mark.parametrize(
    ("printed", "fits"),
    [
        ("169.254.10.2  65500     3124  01:10:00     2  bfd 2.5 s, conn1-tunnel1", True),
        ("169.254.10.3  65500       14  00:00:07     2  bfd 150 ms, conn1-tunnel1", False),
        ("169.254.10.2  65501       14  00:00:07     2  bfd 150 ms, conn1-tunnel1", False),
        ("169.254.10.2  65500       14  00:00:07     3  bfd 150 ms, conn1-tunnel1", False),
        ("169.254.10.2  65500       14  00:00:07     2  bfd 150 ms, conn1-tunnel2", False),
        ("169.254.10.2  65500       14  00:00:07     2  dpd 150 ms, conn1-tunnel1", False),
        ("169.254.10.2  65500       14  never        2  bfd 150 ms, conn1-tunnel1", False),
        ("169.254.10.2  65500       14  00:00:07     2  bfd 150 ms, conn1-tunnel1  up", False),
    ],
)
def test_times_and_counters_may_differ_and_nothing_else(printed: str, fits: bool) -> None:
    assert same(SHOWN, printed) is fits


def test_a_number_may_vary_where_the_page_says_so() -> None:
    assert not same("lost packets 0, tunnel 1", "lost packets 3, tunnel 1")
    assert same("lost packets 0, tunnel 1", "lost packets 3, tunnel 1", ("lost packets",))
    assert not same("lost packets 0, tunnel 1", "lost packets 3, tunnel 2", ("lost packets",))


def test_lines_are_compared_in_order_and_none_is_left_over() -> None:
    assert difference(["a", "…", "z"], ["a", "b", "c", "z"]) is None
    assert difference(["a", "…", "z", "…"], ["a", "z"]) is None
    assert "expected line 2 of the output: b" in str(difference(["a", "b"], ["a", "c"]))
    assert "came     nothing more" in str(difference(["a", "b"], ["a"]))
    assert "expected the end of the output" in str(difference(["a"], ["a", "b"]))
    assert missing(["b", "…", "a"], ["a", "b"]) is None
    assert "c" in str(missing(["c"], ["a", "b"]))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with machine("laptop") as made:
        yield made


def run(sandbox: Sandbox, text: str) -> list[str]:
    return [
        ran.output
        for ran in run_blocks(sandbox, blocks("page.md", page(f"<!-- run: lab -->\n\n.\n\n{text}")))
    ]


WRONG = {
    "fails": ("'''sh\nls /\ncat nothing\ntrue\n'''\n", ["page.md:7: [lab] $ cat nothing", "No such file"]),
    "in a pipe": ("'''sh\ncat nothing | wc -l\n'''\n", ["page.md:6: [lab] $ cat nothing | wc -l"]),
    "is unset": ("'''sh\necho $nothing\n'''\n", ["page.md:6: ", "nothing: unbound variable"]),
    "no failure": (
        "<!-- run: lab, exit 1 -->\n'''sh\ntrue\n'''\n",
        ["page.md:7: ", "expected exit status 1, came 0"],
    ),
    "drift": (
        "'''console\n$ echo tunnel 1 is live\ntunnel 1 is down\n'''\n",
        ["page.md:6: ", "expected line 1 of the output: tunnel 1 is down", "came     tunnel 1 is live"],
    ),
    "more": (
        "'''console\n$ echo one; echo two\none\n'''\n",
        ["expected the end of the output", "came     two"],
    ),
    "not silent": ("'''console\n$ echo one\n'''\n", ["expected the end of the output", "came     one"]),
    "refused": ("'''sh\ncurl -s http://127.0.0.1:8179/\n'''\n", ["page.md:6: "]),
    "given": ("<!-- given: false -->\n'''sh\ntrue\n'''\n", ["page.md:5: [lab] given: false"]),
    "not said": (
        "<!-- run: lab, interrupt after \"ready\" -->\n'''sh\necho no\n'''\n",
        ["page.md:7: ", "ended before it said 'ready'"],
    ),
}


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=WRONG)
def test_a_command_that_does_otherwise_is_told(sandbox: Sandbox, text: str, told: list[str]) -> None:
    with pytest.raises(Wrong) as wrong:
        run(sandbox, text)
    for part in told:
        assert part in str(wrong.value)


def test_a_page_is_one_terminal(sandbox: Sandbox) -> None:
    text = """
<!-- file: keys/one.txt -->

'''text
secret
'''

'''sh
cd keys; NAME=one
tail -f one.txt > two.txt &
'''

<!-- given: echo more >> one.txt -->
<!-- wait: grep more two.txt -->

'''console
$ cat $NAME.txt \\
    | head -1
secret
$ kill $!; cd ..; rm -r keys
'''

<!-- run: lab, answer "yes" after "Sure?" -->

'''console
$ read -p "Sure? " said; echo "you said $said"
Sure? yes
you said yes
'''

<!-- run: lab, interrupt after "still" -->

'''sh
while echo still here; do sleep 1; done
'''

'''sh
for number in 1 2; do
  echo $number
done
'''
"""
    assert run(sandbox, text)[-1] == "1\n2"


COUNTS = "'''sh\nbgpsvc() { echo >> asked; wc -l < asked; [ $(wc -l < asked) != 2 ]; }\n'''\n"


def test_what_only_looks_is_asked_until_it_says_what_is_shown(sandbox: Sandbox) -> None:
    assert run(sandbox, COUNTS + "'''console\n$ bgpsvc show tunnels -o wide\n3\n'''\n")[-1] == "3"


@pytest.mark.parametrize("command", ["bgpsvc apply", "bgpsvc show tunnels | cat"])
def test_what_may_change_something_is_run_once(sandbox: Sandbox, command: str) -> None:
    with pytest.raises(Wrong, match="came     1"):
        run(sandbox, COUNTS + f"'''console\n$ {command}\n3\n'''\n")


def test_what_never_says_it_is_told_in_the_end(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.run.SETTLED_SECONDS", 0.5)
    with pytest.raises(Wrong, match="expected line 1 of the output: up"):
        run(sandbox, COUNTS + "'''console\n$ bgpsvc get tunnels\nup\n'''\n")


def test_nothing_of_a_page_reaches_this_machine(sandbox: Sandbox) -> None:
    text = "'''sh\ntouch /etc/of-a-page /var/lib/of-a-page\nip link add of-a-page type veth\n'''\n"
    run(sandbox, text)
    assert not any(Path(name).exists() for name in ("/etc/of-a-page", "/var/lib/of-a-page"))
    assert "of-a-page" not in Path("/proc/net/dev").read_text()


def test_one_command_alone_is_not_run() -> None:
    assert list(NOT_RUN) == ["make test"]
