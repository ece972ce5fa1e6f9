"""One navigator object for each page of the setup page: what a person does there, in words.

They find things as a person does, by label and role, so that a page nobody can use with a screen
reader cannot be driven by a test either.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page

from tests.support.browser import Visit

PASSWORD = "a calm sentence about tea"


class _Navigator:
    """A page in a window."""

    path = "/"

    def __init__(self, window: Visit) -> None:
        self.window = window

    @property
    def page(self) -> Page:
        return self.window.page

    def open(self) -> None:
        """Go there by its address."""
        self.window.open(self.path)

    def heading(self) -> str:
        """The page's first heading."""
        return self.page.get_by_role("heading", level=1).inner_text()

    def alert(self) -> Locator:
        """The page's bad news."""
        return self.page.get_by_role("alert")

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def tick(self, label: str, *, wanted: bool = True) -> None:
        """Tick a box, or pick a choice, by clicking on its words; or take the tick away."""
        control = self.page.get_by_label(label)
        if control.is_checked() != wanted:
            self.page.locator("label", has_text=label).click()
        assert control.is_checked() == wanted

    def follow(self, name: str) -> None:
        """Follow a link."""
        self.page.get_by_role("link", name=name, exact=True).click()


class ClaimPage(_Navigator):
    """The code and the first password."""

    path = "/claim"

    def open_from_qr(self, code: str) -> None:
        """As a phone does that has read the QR code on the box's screen."""
        self.window.open(f"/claim?code={code}")

    def claim(self, code: str, password: str = PASSWORD, again: str | None = None) -> None:
        """Fill the form and send it."""
        self.page.get_by_label("Claim code").fill(code)
        self.page.get_by_label("New password").fill(password)
        self.page.get_by_label("The same password again").fill(password if again is None else again)
        self.press("Claim the box")

    def claim_by_keyboard(self, code: str, password: str = PASSWORD) -> list[str]:
        """Fill the form without a mouse; returns what had the focus, in order."""
        walked = []
        keyboard = self.page.keyboard
        texts = {"code": code, "password": password, "again": password}
        for _ in range(20):
            keyboard.press("Tab")
            name = focused(self.page)
            walked.append(name)
            if name in texts:
                keyboard.press("Control+A")
                keyboard.type(texts.pop(name))
            if not texts and name == "Claim the box":
                keyboard.press("Enter")
                return walked
        return walked


class LoginPage(_Navigator):
    """The password."""

    path = "/login"

    def log_in(self, password: str = PASSWORD) -> None:
        """Fill the form and send it."""
        self.page.get_by_label("Password").fill(password)
        self.press("Log in")


def focused(page: Page) -> str:
    """The name of the field, or the text of the link or button, that has the focus."""
    return str(
        page.evaluate(
            "(e => e.name && e.tagName === 'INPUT' ? e.name : e.textContent.trim())"
            "(document.activeElement)"
        )
    )


class ChooseMeshPage(_Navigator):
    """A new mesh, or one that exists."""

    path = "/mesh"

    def make_new(self) -> None:
        """Go on to the form of a new mesh."""
        self.follow("Make a new mesh")

    def join_existing(self) -> None:
        """Go on to the form for a mesh that exists."""
        self.follow("Join a mesh")


class NewMeshPage(_Navigator):
    """The address under which devices find the box."""

    path = "/mesh/found"

    def suggested(self) -> str:
        """What the page proposes."""
        return self.page.get_by_label("Address of this box").input_value()

    def make(self, url: str = "") -> None:
        """Take the proposal, or another address."""
        if url:
            self.page.get_by_label("Address of this box").fill(url)
        self.press("Make the mesh")


class JoinPage(_Navigator):
    """Which mesh, and how the box logs in."""

    path = "/mesh/join"

    def join(self, url: str, key: str = "") -> None:
        """Another coordinator, by key or by link."""
        self.tick("Another coordinator")
        self.page.get_by_label("Address of the coordinator").fill(url)
        if key:
            self.tick("With a key")
            self.page.get_by_label("Key", exact=True).fill(key)
        self.press("Join")


class NetworksPage(_Navigator):
    """What the box offers."""

    path = "/networks"

    def is_chosen(self, network: str) -> bool:
        """Whether a network is ticked."""
        return self.page.get_by_label(network).is_checked()

    def offer(self, *networks: str, exit_node: bool = False) -> None:
        """Tick these and save."""
        for network in networks:
            self.tick(network)
        if exit_node:
            self.tick("Exit node")
        self.page.get_by_role("button", name="Save").click()


class SettingsPage(_Navigator):
    """Name, connection, password, leaving."""

    path = "/settings"

    def rename(self, name: str) -> None:
        """Give the box another name."""
        self.page.get_by_label("Name in the mesh").fill(name)
        self.press("Save the name")

    def change_password(self, current: str, new: str, again: str | None = None) -> None:
        """Choose another password."""
        self.page.get_by_label("Present password").fill(current)
        self.page.get_by_label("New password").fill(new)
        self.page.get_by_label("The same password again").fill(new if again is None else again)
        self.press("Change the password")


class LeavePage(_Navigator):
    """The question before the box leaves its mesh."""

    path = "/settings/leave"

    def leave(self) -> None:
        """Mean it."""
        self.tick("Yes, leave")
        self.press("Leave the mesh")


class DevicesPage(_Navigator):
    """Who is in the mesh, who waits, and how to add one."""

    path = "/devices"

    def add(self, platform: str) -> None:
        """Go on to the page of a platform."""
        self.page.locator(".platforms a", has_text=platform).click()

    def wait_for_visitor(self, name: str) -> None:
        """The page itself shows that a device waits."""
        self._button(f"Let in: {name}").wait_for(timeout=40_000)

    def let_in(self, name: str) -> None:
        """Admit a device that waits."""
        self.press(f"Let in: {name}")

    def turn_away(self, name: str) -> None:
        """Do not."""
        self.press(f"Turn away: {name}")

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)


class AddDevicePage(_Navigator):
    """How one platform is pointed at the box."""

    def make_key(self) -> str:
        """Make a key; returns its text."""
        self.press("Make a key")
        return self.page.locator("#key").inner_text()

    def is_announced(self, text: str) -> bool:
        """Whether a screen reader reads this out when it appears."""
        return self.page.locator("[aria-live=polite]", has_text=text).count() == 1

    def has_joined(self, name: str) -> bool:
        """Whether the page shows it now."""
        return self.page.get_by_role("heading", name=f"{name} has joined").is_visible()

    def wait_for(self, name: str) -> None:
        """The page itself says that the device has joined; without scripts, once it was asked."""
        if not self.window.javascript:
            look_again_until(self.window, lambda: self.has_joined(name))
        self.page.get_by_role("heading", name=f"{name} has joined").wait_for(timeout=30_000)

    def ask_whether_joined(self) -> None:
        """Go on to the page that says whether the key was used."""
        self.follow("I have typed it in: has the device joined?")


class DashboardPage(_Navigator):
    """The overview."""

    path = "/dashboard"

    def route(self, title: str) -> Locator:
        """One route with its four states."""
        return self.page.get_by_role("article", name=title)

    def wait_for_proof(self, title: str) -> None:
        """The page itself says that the route works; without scripts, when it is loaded again."""
        works = self.route(title).get_by_text("Works", exact=True)
        if self.window.javascript:
            works.wait_for(timeout=40_000)
            return
        deadline = time.monotonic() + 40
        while not works.is_visible() and time.monotonic() < deadline:
            self.page.wait_for_timeout(1000)
            self.page.reload()
        assert works.is_visible()


class ConnectingPage(_Navigator):
    """What happens while the box joins, and what the owner has to do."""

    path = "/mesh/connecting"

    def wait_for_link(self) -> None:
        """Until the coordinator has said where to log in; the page notices by itself."""
        self.page.get_by_role("link", name="Open the login page").wait_for(timeout=30_000)

    def link(self) -> str:
        """Where to log in."""
        found = self.page.get_by_role("link", name="Open the login page").get_attribute("href")
        return found or ""

    def has_qr(self) -> bool:
        """Whether a phone's camera can take the link."""
        return self.page.get_by_role("img", name="QR code of the login link").is_visible()


def look_again_until(window: Visit, done: Callable[[], bool]) -> None:
    """Press what a page without scripts has for that, now and then."""
    deadline = time.monotonic() + 30
    while not done() and time.monotonic() < deadline:
        window.page.get_by_role("link", name="Look again").click()
        window.page.wait_for_timeout(300)


def choose_language(window: Visit, name: str) -> None:
    """By the button at the foot of the page that is open."""
    window.page.locator("footer").get_by_role("button", name=name).click()
    window.page.locator("footer").get_by_role("button", name=name).and_(
        window.page.locator("[aria-current]")
    ).wait_for()
