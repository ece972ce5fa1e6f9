"""Every sentence that can reach the page is known to it, and said in every language."""

import re
from typing import Final

import pytest

from tests.support.spoken import modules, sentences_of
from tests.support.webtexts import speaking
from webui.gather import read
from webui.phrases import TEMPLATES
from webui.sentences import is_known, translate

_SPEAKERS: Final[dict[str, tuple[str, ...]]] = {
    "adminapi/client.py": ("No coordinator listens", "You may not open", "did not answer in time"),
    "adminapi/server.py": ("Web pages may not", "Only root"),
    "agent/*.py": (
        "^no route of a peer",
        "^give its mesh",
        "^stop being",
        "^not been looked at$",
        "^x1 has no way",
        "^x1 answers only",
        "^in x1 ms$",
        "^x1 answered a probex1",
        "^announcer of services$",
        "^knock at",
    ),
    "agent/plan/*.py": (),
    "controlclient/config.py": (),
    "controlclient/conversation.py": ("^answer a control ping$",),
    "controlclient/dial.py": ("^%a, ",),
    "controlclient/register.py": ("^in use by$", r"^The coordinator x1\.", "^answered x1"),
    "controlclient/service.py": ("^<_Wish",),
    "coordinator/auth/preauth.py": (),
    "coordinator/ipam.py": (),
    "coordinator/registrar.py": (),
    "coordinator/routes.py": ("stands by for it", "lies inside"),
    "dataplane/kernel.py": (),
    "dataplane/link.py": ("^The interface x1 x1$", "^x1: this program", "^x1: it disappeared"),
    "dataplane/process.py": ("WG_PROCESS_FOREGROUND",),
    "dataplane/tunnel.py": (),
    "dataplane/uapi.py": (),
    "dns/doh.py": (),
    "dns/os/*.py": ("^# Written by", r"^Resolved \| None$"),
    "dns/plain.py": ("^the resolver ",),
    "dns/resolver.py": ("^Nobody else is asked", r"^Names are not looked up: x1\. x1$"),
    "dns/server.py": ("^dns over",),
    "gateway/nft.py": (),
    "health/*.py": (),
    "host/files.py": (),
    "host/sysctl.py": (),
    "localapi/client.py": ("is not running", "You may not open", "did not answer in time"),
    "localapi/server.py": (
        "Web pages may not",
        "Only root",
        "^x1 is not a number",
        "^x1 is out of",
    ),
    "netmap/prefs.py": ("^Unknown pref", "is no exit node"),
    "underlay/relaylink.py": (),
    "underlay/relays.py": ("^probe relay",),
}
"""The modules whose sentences a page may show, and which of their texts it does not show: names of
tasks, parts that are put together, and what ``webui.failures`` says by its code."""

_SILENT: Final = ("agent/__main__.py", "agent/settings.py")
"""They speak to whoever starts the program."""


def said_in(pattern: str) -> list[str]:
    """The sentences of some modules; gaps that a catalogue fills are filled."""
    found = [
        text for name in modules(pattern) if name not in _SILENT for text in sentences_of(name)
    ]
    return [re.sub(r"\{\w+\}", "x1", text) for text in found]


@pytest.mark.parametrize("module", sorted(_SPEAKERS))
def test_every_sentence_of_a_module_is_known(module: str) -> None:
    said = said_in(module)
    shown = [text for text in said if not any(re.search(o, text) for o in _SPEAKERS[module])]
    assert said
    assert [text for text in shown if not is_known(text)] == []


@pytest.mark.parametrize("module", sorted(_SPEAKERS))
def test_an_exception_is_something_that_a_module_says(module: str) -> None:
    said = said_in(module)
    for one in _SPEAKERS[module]:
        assert any(re.search(one, text) for text in said), one


def test_what_the_page_says_is_in_the_catalogue() -> None:
    german = read("de")
    shown = [one if isinstance(one, str) else one[1] for one in TEMPLATES]
    assert [text for text in shown if german.get(text) is None] == []


def test_no_template_stands_twice() -> None:
    said = [one if isinstance(one, str) else one[0] for one in TEMPLATES]
    assert sorted(set(said)) == sorted(said)


def test_parts_of_a_sentence_are_translated_too() -> None:
    with speaking("de"):
        lost = translate(
            "The connection to the coordinator at https://a.example was lost (it is silent). "
            "Connecting again."
        )
        port = translate(
            "Port 80 of this machine belongs to the setup page. Write it like http://10.0.0.2:8080."
        )
    assert "(er schweigt)" in lost
    assert (
        port
        == "Port 80 dieser Box gehört der Einrichtungsseite. Zum Beispiel: http://10.0.0.2:8080."
    )


def test_no_text_for_the_page_names_a_command_of_a_terminal() -> None:
    shown = [one if isinstance(one, str) else one[1] for one in TEMPLATES]
    commands = [text for text in shown if "`" in text]
    assert all("latchkey doctor" in text for text in commands)
