"""Archives come from this machine's apt, whatever release it has itself."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from image.card.archive import answers, find_archives, find_key, require
from image.card.errors import CardError
from image.card.profiles import ExtraArchive

URIS = """\
'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_InRelease 0
'http://mirror.example/debian/dists/bookworm-updates/InRelease' mirror.example_InRelease 0
'http://sec.example/debian-security/dists/bookworm-security/InRelease' sec.example_InRelease 0
'https://other.example/node/dists/nodistro/InRelease' other.example_InRelease 0
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[str]:
    """An archive that has one suite."""
    index = tmp_path / "dists" / "trixie" / "InRelease"
    index.parent.mkdir(parents=True)
    index.write_text("Hash: SHA256\n\nSuite: trixie\nDate: Sat, 01 Nov 2025 12:00:00 UTC\n")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_hosts_mirror_is_used_for_the_cards_release() -> None:
    found = find_archives(URIS, {"Acquire::http::Proxy": "http://cache:3142"})
    assert found.debian == "http://mirror.example/debian"
    assert found.security == "http://sec.example/debian-security"
    assert found.options == ('Acquire::http::Proxy "http://cache:3142";',)


@pytest.mark.parametrize(("uris", "what"), [("", "Debian archive"), (URIS[:75], "security")])
def test_a_host_without_a_debian_archive_is_told_what_to_add(uris: str, what: str) -> None:
    with pytest.raises(CardError, match=what):
        find_archives(uris, {})


def test_an_archive_that_answers_says_when_it_was_signed(stand_in: str) -> None:
    assert answers(stand_in)
    assert require(stand_in) == 1761998400


def test_an_archive_that_is_gone_is_one_sentence() -> None:
    with pytest.raises(CardError, match="does not answer for trixie: check the network"):
        require("http://127.0.0.1:9")
    assert not answers("http://127.0.0.1:9")


def test_an_archive_without_the_suite_does_not_count(stand_in: str) -> None:
    assert not answers(stand_in, "bookworm")


def test_a_key_of_this_machines_is_preferred_and_none_is_had_in_the_clear(
    tmp_path: Path, stand_in: str
) -> None:
    key = tmp_path / "vendor.gpg"
    key.write_bytes(b"key")
    extra = ExtraArchive(stand_in, "trixie", ("main",), ("/absent", str(key)), "")
    assert find_key(extra, tmp_path) == key
    clear = ExtraArchive(stand_in, "trixie", ("main",), (), f"{stand_in}/key")
    assert find_key(clear, tmp_path) is None
