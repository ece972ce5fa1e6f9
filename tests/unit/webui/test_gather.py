import re

import pytest

from webui import gather
from webui.languages import LANGUAGES


def test_every_language_that_can_be_chosen_has_a_catalogue() -> None:
    assert {"en", *gather.languages()} == set(LANGUAGES)


@pytest.mark.parametrize("language", gather.languages())
def test_every_text_is_translated(language: str) -> None:
    assert gather.missing(language) == []


@pytest.mark.parametrize("language", gather.languages())
def test_translations_keep_the_placeholders(language: str) -> None:
    for message in gather.read(language):
        if message.id:
            ids = message.id if isinstance(message.id, tuple) else (message.id,)
            texts = message.string if isinstance(message.string, tuple) else (message.string,)
            assert placeholders(texts[-1]) == placeholders(ids[-1]), message.id
            assert placeholders(texts[0]) in map(placeholders, ids), message.id


def test_the_sources_have_texts() -> None:
    assert len(gather.texts()) > 100


def test_the_program_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert gather.main(["nonsense"]) == 2
    assert "python -m webui.gather update" in capsys.readouterr().err


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)[sd]", text))
