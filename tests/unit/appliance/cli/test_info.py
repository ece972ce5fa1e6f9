from datetime import UTC, datetime

from appliance.cli.info import render_netcheck, render_ping, render_status
from appliance.localapi.types import (
    Fact,
    NetcheckReport,
    PeerStatus,
    PingReply,
    RouteStatus,
    Status,
)


def status(*peers: PeerStatus, state: str = "Running") -> Status:
    return Status(
        version="1",
        backend_state=state,
        self_node=PeerStatus(
            dns_name="me.example.ts.", os="linux", user_id=1, tailscale_ips=("100.64.0.1",)
        ),
        peers={peer.dns_name: peer for peer in peers},
        users={"1": {"LoginName": "alice@example.org"}},
        routes=(
            RouteStatus(
                prefix="192.168.1.0/24",
                advertised=Fact(ok=True),
                approved=Fact(ok=False),
                serving=Fact(ok=False),
                proven=Fact(ok=False),
            ),
        ),
    )


HOME = PeerStatus(
    dns_name="home.example.ts.",
    os="linux",
    user_id=1,
    tailscale_ips=("100.64.0.2",),
    online=True,
    active=True,
    relay="own",
)


def test_a_line_a_node_says_how_it_is_reached() -> None:
    direct = PeerStatus(
        dns_name="nas.example.ts.",
        user_id=1,
        tailscale_ips=("100.64.0.3",),
        online=True,
        active=True,
        cur_addr="192.0.2.1:41641",
        exit_node_option=True,
    )
    away = PeerStatus(dns_name="away.example.ts.", last_seen=datetime(2026, 1, 2, tzinfo=UTC))
    lines = render_status(status(HOME, direct, away)).splitlines()
    assert lines[0].split() == ["100.64.0.1", "me", "alice@", "linux", "-"]
    assert "offline, last seen 2026-01-02 00:00 UTC" in lines[1]
    assert 'active; relay "own"' in lines[2]
    assert "active; offers exit node; direct 192.0.2.1:41641" in lines[3]


def test_a_route_that_waits_for_approval_says_so() -> None:
    assert "192.168.1.0/24: advertised, not approved, not serving, not proven" in render_status(
        status()
    )


def test_a_stopped_agent_says_what_to_do() -> None:
    assert "latchkey up" in render_status(status(state="Stopped"))


def test_control_characters_from_peers_never_reach_the_terminal() -> None:
    evil = PeerStatus(dns_name="a\x1b[2Jb.example.ts.", os="\r\n", online=True)
    text = render_status(status(evil))
    assert "\x1b" not in text
    assert "\r" not in text


def test_pings_name_their_path() -> None:
    direct = PingReply(node_name="home", ip="100.64.0.2", latency_s=0.0123, endpoint="192.0.2.1:4")
    assert render_ping(direct) == "pong from home (100.64.0.2) via 192.0.2.1:4 in 12.3ms"
    relayed = PingReply(node_name="home", ip="100.64.0.2", latency_s=0.05, relay="own")
    assert "via DERP(own) in 50.0ms" in render_ping(relayed)
    assert "no reply" in render_ping(PingReply(node_name="home", ip="100.64.0.2"))


def test_a_netcheck_is_readable() -> None:
    report = NetcheckReport(udp=True, ipv4="192.0.2.1:4", relay_latency_s={"own": 0.004})
    assert "* UDP: yes" in render_netcheck(report)
    assert "- own: 4.0ms" in render_netcheck(report)
