"""A program that speaks HTTP to the box, from the laptop, with its own idea of headers."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.netns.lab import Host
from tests.support.homebox import HomeBox


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: str
    seconds: float
    """From the request to the last byte of the answer."""


class Stranger:
    """A program on the laptop that speaks HTTP to the box, with its own idea of headers."""

    def __init__(self, laptop: Host, box: HomeBox) -> None:
        self._laptop = laptop
        self._address = box.host.ip
        self.cookies: dict[str, str] = {}
        self.token = ""

    def get(self, path: str, **headers: str) -> Reply:
        """Ask for a page; remembers cookies and the form token as a browser would."""
        return self._ask("GET", path, "", headers)

    def post(self, path: str, form: dict[str, str], **headers: str) -> Reply:
        """Send a form with the token of the last page."""
        body = urlencode({"form_token": self.token} | form, errors="surrogatepass")
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, body, kind | headers)

    def post_raw(self, path: str, body: str, **headers: str) -> Reply:
        """Send any bytes."""
        return self._ask("POST", path, body, headers)

    def _ask(self, method: str, path: str, body: str, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection(self._address, timeout=20)
        connection.sock = self._laptop.connect(self._address, 80, timeout_s=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent |= {"Cookie": cookies} if cookies and "Cookie" not in sent else {}
        began = time.monotonic()
        try:
            connection.request(method, path, body.encode(), sent)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", errors="replace")
            took = time.monotonic() - began
        finally:
            connection.close()
        set_cookies = answer.headers.get_all("Set-Cookie") or []
        for cookie in set_cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if found := re.search(r'name="form_token" value="([^"]+)"', text):
            self.token = found[1]
        return Reply(answer.status, dict(answer.headers.items()), set_cookies, text, took)
