"""Completion offers what may come next; bash is asked for real, the others are looked at."""

import shlex
import subprocess
from pathlib import Path

import pytest

from image.package.commands import Argument, Command, Option
from image.package.completion import render_bash, render_fish, render_zsh

OPEN = Command(
    ("latchkey", "lid", "open"),
    "open it",
    "",
    "",
    (
        Option(("--how",), "HOW", "the way: it's 'fast'", ("slow", "fast")),
        Option(("--log",), "FILE", "a file", is_file=True),
        Option(("--now",), "", "at [once]"),
    ),
)
LID = Command(("latchkey", "lid"), "the lid", "", "", (), (), (OPEN,))
STATE = Command(("latchkey", "state"), "its state", "", "", (), (Argument("S", "", ("a", "b")),))
ROOT = Command(
    ("latchkey",),
    "",
    "",
    "",
    (Option(("--socket",), "PATH", "", is_file=True),),
    (),
    (
        LID,
        STATE,
    ),
)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("latchkey ''", "lid state"),
        ("latchkey l", "lid"),
        ("latchkey lid ''", "open"),
        ("latchkey lid open --", "--how --log --now"),
        ("latchkey lid open --how ''", "slow fast"),
        ("latchkey lid open --how = f", "fast"),
        ("latchkey lid open --how fast --n", "--now"),
        ("latchkey --socket /somewhere st", "state"),
        ("latchkey state ''", "a b"),
    ],
)
def test_bash_offers_what_may_come_next(tmp_path: Path, words: str, offered: str) -> None:
    script = tmp_path / "completion"
    script.write_text(render_bash(ROOT))
    last = len(shlex.split(words)) - 1
    ask = (
        f"source {script}; compopt() {{ :; }}; COMP_WORDS=({words}); COMP_CWORD={last}; "
        '_latchkey; echo "${COMPREPLY[*]}"'
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (offered, "")


def test_zsh_gets_a_function_for_each_command_with_quotes_and_brackets_escaped() -> None:
    script = render_zsh(ROOT)
    assert script.startswith("#compdef latchkey\n")
    assert "_latchkey_lid_open() {" in script
    assert "--how'[the way\\: it'\\''s '\\''fast'\\'']:HOW:(slow fast)'" in script
    assert "--now'[at \\[once\\]]'" in script


def test_fish_gets_a_line_for_each_word() -> None:
    script = render_fish(ROOT)
    assert "complete -c latchkey -n '__latchkey_at \\'latchkey\\'' -a 'lid' -d 'the lid'" in script
    assert " -l how -x -a 'slow fast' -d 'the way: it\\'s \\'fast\\''" in script
    assert " -l log -r -F -d 'a file'" in script
