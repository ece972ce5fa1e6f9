import logging
import runpy
import socket
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import webui
from tests.support.webui import make_page
from webui.claim import CODE_FILE

CONFIG = Path(webui.__file__).with_name("gunicorn.py")


def test_the_master_makes_the_code_before_there_are_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "webui.toml"
    settings.write_text(f'state_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}"\n')
    monkeypatch.setenv("LATCHKEY_WEBUI_CONFIG", str(settings))
    config = runpy.run_path(str(CONFIG))
    config["on_starting"](None)
    assert (tmp_path / CODE_FILE).exists()
    assert str(settings) in config["wsgi_app"]
    assert config["workers"] == 2
    assert config["accesslog"] is None, "request lines hold claim codes"


def test_settings_that_do_not_fit_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "webui.toml"
    settings.write_text("sesion_hours = 3\n")
    monkeypatch.setenv("LATCHKEY_WEBUI_CONFIG", str(settings))
    with pytest.raises(SystemExit, match="Did you mean 'session_hours'"):
        runpy.run_path(str(CONFIG))


def test_a_directory_that_is_missing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "webui.toml"
    settings.write_text(f'state_dir = "{tmp_path}/absent"\nruntime_dir = "{tmp_path}"\n')
    monkeypatch.setenv("LATCHKEY_WEBUI_CONFIG", str(settings))
    config = runpy.run_path(str(CONFIG))
    with pytest.raises(SystemExit, match="latchkey-webui: The page cannot use its file"):
        config["on_starting"](None)


def test_clients_that_stall_are_given_up_and_do_not_fill_the_log(tmp_path: Path) -> None:
    config = runpy.run_path(str(CONFIG))
    log = logging.getLogger("test of the gunicorn config")
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        server = SimpleNamespace(
            LISTENERS=[SimpleNamespace(sock=listener)],
            log=SimpleNamespace(error_log=log),
            app=SimpleNamespace(wsgi=lambda: make_page(tmp_path).app),
        )
        config["when_ready"](server)
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
                assert struct.unpack("ll", option) == (config["STALL_S"], 0)
    finally:
        listener.close()
    assert not log.filter(record(BlockingIOError()))
    assert log.filter(record(OSError()))


def record(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except OSError:
        return logging.LogRecord("x", logging.ERROR, "", 0, "x", None, sys.exc_info())
