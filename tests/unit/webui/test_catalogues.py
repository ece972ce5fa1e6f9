from webui import catalogues


def test_a_catalogue_is_read_without_being_compiled() -> None:
    assert catalogues.load("de").gettext("Log in") == "Anmelden"


def test_a_language_without_a_catalogue_says_what_the_sources_say() -> None:
    assert catalogues.load("xx").gettext("Log in") == "Log in"


def test_a_compiled_catalogue_starts_with_the_mark_of_its_kind() -> None:
    assert catalogues.compiled(catalogues.path_of("de", "po"))[:4] == b"\xde\x12\x04\x95"
