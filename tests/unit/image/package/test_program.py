"""Every command of ours is in the tree that manual and completion are made of."""

import pytest

from image.package.program import EVERYTHING


@pytest.mark.parametrize(
    "words",
    ["up", "admin nodes register", "agent", "coordinator", "relay", "firstboot", "routes probe"],
)
def test_every_command_is_in_the_tree(words: str) -> None:
    assert ("latchkey", *words.split()) in {command.words for command in EVERYTHING.walk()}


def test_every_command_says_what_it_does() -> None:
    assert [c.words for c in EVERYTHING.walk() if not c.summary] == []
