"""The scanner hears an open port and a refusal, and nothing from a home router.

scanner ──┬── web (203.0.113.80, 2001:db8:113::80)
          └── router (192.0.2.2, 2001:db8:2::2) ── printer
"""

from __future__ import annotations

import pytest

from tests.netns.lab import Lab
from tests.netns.lab.scan import scan
from tests.netns.lab.web import start_page

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("family", [4, 6])
def test_the_scanner_hears_who_is_there_and_only_them(lab: Lab, family: int) -> None:
    outside = lab.public("outside", "203.0.113.0/24", "2001:db8:113::/64")
    isp = lab.public("isp", "192.0.2.0/24", "2001:db8:2::/64")
    lan = lab.lan("lan", "192.168.1.0/24", "fd00:1::/64")
    router = lab.router("router", outside=isp, number=2, inside=lan, nat6=True)
    lan.host("printer", 20)
    scanner, web = outside.host("scanner", 66), outside.host("web", 80)
    lab.build()
    start_page(web).wait_for_line("serving")

    report = scan(scanner, web.ip if family == 4 else web.ip6)
    assert "tcp/80: open" in report.answers
    assert "tcp/81: refused" in report.answers
    assert len([answer for answer in report.answers if answer.startswith("tcp/")]) == 65535
    assert any(answer.startswith("icmp") for answer in report.answers)

    silent = scan(scanner, router.ip if family == 4 else router.ip6)
    assert silent.answers == ()
    assert silent.tcp_probes == 65535
    assert silent.udp_probes >= 200
