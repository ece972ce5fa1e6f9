from datetime import UTC, datetime

from appliance.cli.routes import WIDTH, render_exit_nodes, render_routes
from appliance.localapi.types import ExitOption, ExitOptions, Fact, Routes, RouteStatus

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


def route(router: str = "", evidence: str = "So it is.") -> RouteStatus:
    return RouteStatus(
        prefix="192.168.1.0/24",
        router=router,
        advertised=Fact(ok=True, evidence="eth0 is in it.", since=NOW),
        approved=Fact(ok=True, evidence=evidence),
        serving=Fact(ok=False, evidence="Not."),
        proven=Fact(ok=False),
    )


def test_each_fact_has_a_line_with_evidence_and_time() -> None:
    lines = render_routes(Routes(routes=(route(),))).splitlines()
    assert lines[0] == "192.168.1.0/24 by this node"
    assert lines[1] == "  advertised  yes eth0 is in it. Since 2026-06-01 12:30:00 UTC."
    assert lines[3] == "  serving     no  Not."
    assert len(lines) == 5


def test_long_evidence_is_wrapped_at_eighty_columns() -> None:
    text = render_routes(Routes(routes=(route("home", "many words " * 40),)))
    assert text.startswith("192.168.1.0/24 by home\n")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_what_others_wrote_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in render_routes(Routes(routes=(route("a\x1b[2J", "b\x1b[2J"),)))


def test_no_routes_say_how_to_offer_some() -> None:
    assert "--advertise-routes" in render_routes(Routes())


def test_exit_nodes_are_a_table() -> None:
    near = ExitOption(
        name="near", ip="100.64.0.2", online=True, suggested=True, latency_s=0.012, measured="relay"
    )
    far = ExitOption(name="far", ip="100.64.0.3", chosen=True, ipv6="no")
    lines = render_exit_nodes(ExitOptions(options=(near, far))).splitlines()
    assert lines[1].split() == [
        "100.64.0.2",
        "near",
        "12",
        "ms",
        "to",
        "its",
        "relay",
        "-",
        "nearest",
    ]
    assert "no, blocked" in lines[2]
    assert "in use, offline" in lines[2]
    assert "No node" in render_exit_nodes(ExitOptions())
