"""How a stock Tailscale app is pointed at a coordinator of one's own, platform by platform.

Menus as in the apps of 2026 (iOS and macOS 1.9x, Android 1.9x); the commands are the same since
years. A step may name ``%(url)s``, the coordinator's address.
"""

from dataclasses import dataclass
from typing import Final

from flask_babel import LazyString
from flask_babel import lazy_gettext as _l


@dataclass(frozen=True, slots=True)
class Platform:
    """One kind of device."""

    id: str
    name: str
    text: LazyString
    """What it is, in a few words."""
    steps: tuple[LazyString, ...]
    """Until the device asks to be let in, or takes the key."""
    key_steps: tuple[LazyString, ...] = ()
    """What comes instead of the last step where there is a key and no command for it."""
    command: str = ""
    """With ``{url}``; logs in and asks to be let in."""
    key_command: str = ""
    """With ``{url}`` and ``{key}``."""
    is_phone: bool = False
    """Has a camera at hand, and no terminal."""

    @property
    def steps_with_key(self) -> tuple[LazyString, ...]:
        """Until the device is in."""
        return (*self.steps[:-1], *self.key_steps) if self.key_steps else self.steps


_OPEN: Final = _l("Install Tailscale from the app store and open it. You need no account there.")

PLATFORMS: Final = {
    platform.id: platform
    for platform in (
        Platform(
            id="ios",
            name="iPhone, iPad",
            text=_l("Tailscale from the App Store"),
            steps=(
                _OPEN,
                _l("Tap the round picture at the top right, then “Log in”."),
                _l("Tap “⋯” at the top right, then “Use a custom coordination server”."),
                _l("Type the address above and tap “Log in”."),
                _l("A page says that the device waits. Come back here and let it in."),
            ),
            key_steps=(_l("If it asks to log in, choose “Use an auth key” in the same menu."),),
            is_phone=True,
        ),
        Platform(
            id="android",
            name="Android",
            text=_l("Tailscale from Google Play or F-Droid"),
            steps=(
                _OPEN,
                _l("Tap the picture at the top right, then “Accounts”."),
                _l("Tap the three dots at the top right, then “Use an alternate server”."),
                _l("Type the address above and go on."),
                _l("A page says that the device waits. Come back here and let it in."),
            ),
            key_steps=(_l("If it asks to log in, choose “Use an auth key” in the same menu."),),
            is_phone=True,
        ),
        Platform(
            id="macos",
            name="Mac",
            text=_l("Tailscale from its page or the App Store"),
            steps=(
                _l("Install Tailscale and start it. You need no account there."),
                _l(
                    "Hold the Option key and click the Tailscale symbol in the menu bar. Under "
                    "“Debug”, “Custom Login Server”, choose “Add Account…” and type the address "
                    "above."
                ),
                _l("Or type this in a terminal:"),
            ),
            command="tailscale login --login-server={url}",
            key_command="tailscale login --login-server={url} --auth-key={key}",
        ),
        Platform(
            id="windows",
            name="Windows",
            text=_l("Tailscale from its page"),
            steps=(
                _l("Install Tailscale. You need no account there."),
                _l("Open a command prompt or PowerShell, and type:"),
            ),
            command="tailscale login --login-server={url}",
            key_command="tailscale login --login-server={url} --auth-key={key}",
        ),
        Platform(
            id="linux",
            name="Linux",
            text=_l("Tailscale from its packages"),
            steps=(
                _l("Install Tailscale. You need no account there."),
                _l("Type in a terminal:"),
            ),
            command="sudo tailscale up --login-server={url}",
            key_command="sudo tailscale up --login-server={url} --auth-key={key}",
        ),
        Platform(
            id="box",
            name="Latchkey",
            text=_l("Another box, in another house"),
            steps=(
                _l("Open the setup page of the other box and claim it."),
                _l("Choose “Join a mesh”, and type the address above."),
                _l("It shows that it waits. Come back here and let it in."),
            ),
            key_steps=(_l("Choose “With a key”, and type the key. Or in a terminal of the box:"),),
            key_command="sudo latchkey up --login-server {url} --auth-key {key}",
        ),
    )
}
