"""How gunicorn serves the setup page: ``python3 -m gunicorn -c webui/gunicorn.py``.

systemd hands the listening socket over; without one, name an address with ``--bind``. Settings of
the page itself are in /etc/latchkey/webui.toml, or in the file that LATCHKEY_WEBUI_CONFIG names.
"""

import gc
import logging
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment

from webui.errors import SettingsError, StoreError
from webui.settings import load_settings
from webui.start import start

_NAMED = os.environ.get("LATCHKEY_WEBUI_CONFIG")

try:
    _SETTINGS = load_settings(Path(_NAMED) if _NAMED else None)
except SettingsError as error:
    sys.exit(f"latchkey-webui: {error}")

wsgi_app = f"webui:create_app(config={_NAMED!r})" if _NAMED else "webui:create_app()"
proc_name = "latchkey-webui"

workers = 2
worker_class = "gthread"
threads = 16
"""A page that watches holds one; forms that wait for the coordinator one more."""
preload_app = True
"""The workers share the memory of what was imported before they were made."""
timeout = 60
graceful_timeout = 5
keepalive = 15
max_requests = 20_000
max_requests_jitter = 2_000
worker_connections = 64

limit_request_line = 2048
limit_request_fields = 60
limit_request_field_size = 8190

worker_tmp_dir = str(_SETTINGS.runtime_dir) if _SETTINGS.runtime_dir.is_dir() else None
"""In memory: a heartbeat every second would wear an SD card out."""
accesslog = None
"""A request line may hold a claim code."""
errorlog = "-"
loglevel = "warning"
umask = 0o077


control_socket_disable = True
"""Later versions of gunicorn offer one; systemd does what it is for."""

STALL_S = 5
"""How long a client may be silent in the middle of a request, or not take its answer: it holds a
thread so long."""


def on_starting(_server: Any) -> None:
    """Make the store ready and the claim code, once, before there are workers."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        start(_SETTINGS)
    except StoreError as error:
        sys.exit(f"latchkey-webui: {error}")


def when_ready(server: Any) -> None:
    """Give up on stalled clients; connections inherit this from the socket that accepts them."""
    for listener in server.LISTENERS:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", STALL_S, 0))
    server.log.error_log.addFilter(_is_worth_a_line)
    _compile_templates(server.app.wsgi().jinja_env)
    gc.collect()
    gc.freeze()  # the collector never writes to what the workers share, so it stays shared


def _compile_templates(environment: Environment) -> None:
    """Do for all workers, before they are made, what else the first visitor of each waits for."""
    for name in environment.list_templates():
        environment.get_template(name)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave clients that stalled out of the log: anybody in the LAN could fill it with them."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, BlockingIOError)
