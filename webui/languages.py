"""Which language a page speaks, and where its texts come from."""

from typing import Final

from flask import Flask, request
from flask_babel import Babel, get_locale

from webui import catalogues

COOKIE: Final = "latchkey_language"

LANGUAGES: Final = {"en": "English", "de": "Deutsch"}
"""Those that a person can choose, each in its own words."""

KEPT_S: Final = 365 * 24 * 3600


def install(app: Flask) -> None:
    """Let templates and views speak the visitor's language."""
    babel = Babel(app, default_locale="en", locale_selector=choose)
    with app.app_context():
        for code in LANGUAGES:
            babel.domain_instance.cache[code, babel.domain] = catalogues.load(code)
    app.context_processor(lambda: {"languages": LANGUAGES, "language": str(get_locale() or "en")})


def choose() -> str:
    """Return the language that the person chose, else what the browser prefers."""
    chosen = request.cookies.get(COOKIE, "")
    return chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES) or "en"
