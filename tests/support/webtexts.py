"""A visitor's language, without the rest of the setup page."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from flask import Flask

from webui import languages


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Inside the block texts are in this language."""
    with _application().test_request_context(headers={"Accept-Language": language}):
        yield


@cache
def _application() -> Flask:
    app = Flask("webui")
    languages.install(app)
    return app
