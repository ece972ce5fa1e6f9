"""What the owner reads: on the screens of the box and on its boot partition."""

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CONSOLES: Final = Path("/sys/class/tty/console/active")
_CODE: Final = re.compile(r"[0-9A-Za-z-]{4,64}")

_EXPIRED: Final = (
    "This box has no owner yet, and the time for claiming it is over: start it again for another "
    "hour."
)

QrRenderer = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Welcome:
    """Everything there is to show."""

    hostname: str
    addresses: tuple[str, ...] = ()
    code: str = ""
    """The claim code; empty: the box has an owner."""
    error: str = ""
    """What of latchkey.toml could not be done."""
    expired: bool = False
    """The code's hour is over."""

    @property
    def url(self) -> str:
        """Where the page is, with the code filled in."""
        host = self.addresses[0] if self.addresses else f"{self.hostname}.local"
        return f"http://{host}/claim?code={self.code}"


def parse_code(data: bytes) -> str:
    """Return the code in the setup page's file; empty when it is none."""
    text = data.decode("ascii", "replace").strip()
    return text if _CODE.fullmatch(text) else ""


def render_note(welcome: Welcome) -> str:
    """Return LATCHKEY-CLAIM.txt; empty when there is nothing to claim."""
    if not welcome.code:
        return ""
    if welcome.expired:
        return f"{_EXPIRED}\n"
    pages = [f"http://{address}/" for address in welcome.addresses]
    pages.append(f"http://{welcome.hostname}.local/")
    listed = "\n".join(f"    {page}" for page in pages)
    return (
        "This box has no owner yet. On a computer or phone in the same network open\n\n"
        f"{listed}\n\nand type this code:\n\n    {welcome.code}\n\n"
        "It is good for an hour after the box was started; start it again for another hour.\n"
    )


def render_screen(welcome: Welcome, render_qr: QrRenderer) -> str:
    """Return what a screen of 80 columns shows."""
    parts = ["", f"  Latchkey  {welcome.hostname}", ""]
    if welcome.error:
        parts += [f"  {line}" for line in _wrap(welcome.error)] + [""]
    if welcome.code and welcome.expired:
        parts += [f"  {line}" for line in _wrap(_EXPIRED)] + [""]
    elif welcome.code and welcome.addresses:
        parts += ["  This box has no owner yet. In the same network scan this, or open", ""]
        parts += [f"      http://{address}/" for address in welcome.addresses]
        parts += [f"      http://{welcome.hostname}.local/", "", f"  Code: {welcome.code}", ""]
        parts += [render_qr(welcome.url)]
    elif welcome.code:
        parts += ["  No network yet: plug in a cable, or put a Wi-Fi into latchkey.toml.", ""]
        parts += [f"  Code: {welcome.code}", ""]
    elif welcome.addresses:
        parts += [f"  http://{address}/" for address in welcome.addresses]
        parts += [f"  http://{welcome.hostname}.local/", ""]
    return "\n".join(parts)


def _wrap(text: str, width: int = 76) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def consoles(active: str) -> tuple[str, ...]:
    """Return the devices of the kernel's consoles; a screen's first one for whichever is shown."""
    names = ["tty1" if name == "tty0" else name for name in active.split()]
    return tuple(dict.fromkeys(["tty1", *names]))


def show(text: str) -> None:
    """Write to every console there is; one that does not take it is left alone."""
    active = _CONSOLES.read_text(encoding="ascii") if _CONSOLES.exists() else ""
    for name in consoles(active):
        clear = "\x1b[H\x1b[2J\x1b[3J" if name == "tty1" else ""
        with contextlib.suppress(OSError):
            device = os.open(f"/dev/{name}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                os.write(device, (clear + text).replace("\n", "\r\n").encode())
            finally:
                os.close(device)
