"""Text becomes roff."""

from image.package.roff import bold, escape, inline, literal, prose


def test_what_roff_would_read_itself_is_escaped() -> None:
    assert escape(".SH \\n") == "\\&.SH \\en"
    assert escape("--flag") == "\\-\\-flag"
    assert inline("'quoted'")[:2] == "\\&"


def test_flags_and_code_in_prose_are_bold() -> None:
    assert (
        inline("with `latchkey up` and --json")
        == f"with {bold('latchkey up')} and {bold('--json')}"
    )
    assert inline("a well-known word") == "a well-known word"


def test_paragraphs_are_paragraphs() -> None:
    assert prose("one\ntwo\n\nthree") == [".PP", "one", "two", ".PP", "three"]


def test_indented_words_become_a_list() -> None:
    lines = prose("  name    does it exist?\n          or not?\n  key     is it valid?")
    assert lines == [
        ".TP",
        bold("name"),
        "does it exist?",
        "or not?",
        ".TP",
        bold("key"),
        "is it valid?",
    ]


def test_commands_keep_their_form_below_a_heading() -> None:
    assert prose("examples:\n  latchkey up") == [".PP", "Examples:", *literal(["latchkey up"])]
