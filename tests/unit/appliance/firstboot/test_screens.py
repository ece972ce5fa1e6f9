"""What the owner reads on the box's screens and on its card."""

from __future__ import annotations

from appliance.firstboot.screens import Welcome, consoles, parse_code, render_note, render_screen

BOX = Welcome("latchkey", ("192.168.1.10",), "ABCDE-FGHJK")


def qr(text: str) -> str:
    return f"<{text}>"


def test_a_box_without_an_owner_shows_address_code_and_qr() -> None:
    text = render_screen(BOX, qr)
    assert "http://192.168.1.10/" in text
    assert "http://latchkey.local/" in text
    assert "Code: ABCDE-FGHJK" in text
    assert "<http://192.168.1.10/claim?code=ABCDE-FGHJK>" in text


def test_without_a_network_it_says_what_to_do() -> None:
    text = render_screen(Welcome("latchkey", (), "ABCDE-FGHJK"), qr)
    assert "No network yet" in text
    assert "<" not in text


def test_a_claimed_box_shows_no_code() -> None:
    text = render_screen(Welcome("latchkey", ("192.168.1.10",)), qr)
    assert "http://192.168.1.10/" in text
    assert "Code" not in text


def test_what_is_wrong_with_the_file_comes_first() -> None:
    text = render_screen(Welcome("latchkey", (), "ABCDE-FGHJK", error="word " * 30), qr)
    assert text.index("word") < text.index("Code")
    assert max(len(line) for line in text.splitlines()) <= 80


def test_after_its_hour_the_code_is_replaced_by_what_to_do() -> None:
    over = Welcome("latchkey", ("192.168.1.10",), "ABCDE-FGHJK", expired=True)
    assert "ABCDE" not in render_screen(over, qr)
    assert "start it again" in " ".join(render_screen(over, qr).split())
    assert "ABCDE" not in render_note(over)


def test_the_note_on_the_card_needs_no_screen() -> None:
    note = render_note(BOX)
    assert "http://192.168.1.10/" in note
    assert "ABCDE-FGHJK" in note
    assert render_note(Welcome("latchkey", ("192.168.1.10",))) == ""


def test_only_a_code_is_taken_for_one() -> None:
    assert parse_code(b"ABCDE-FGHJK\n") == "ABCDE-FGHJK"
    assert parse_code(b"\x1b[2J") == ""
    assert parse_code(b"") == ""


def test_every_console_of_the_kernel_is_written_to_once() -> None:
    assert consoles("tty0 ttyS1") == ("tty1", "ttyS1")
    assert consoles("ttyAMA0") == ("tty1", "ttyAMA0")
    assert consoles("") == ("tty1",)
