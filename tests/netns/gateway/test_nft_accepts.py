"""nft itself accepts every ruleset that we write, whatever the coordinator's rules hold."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.gateway.config import GatewayConfig
from appliance.gateway.filter import parse_filter
from appliance.gateway.ruleset import render_ruleset
from appliance.protocol.tailcfg import FilterRule
from tests.fuzz.test_packet_filter import RULES
from tests.netns.gateway.conftest import CLOSED, EXIT, LAN, LAN6, ROUTER, networks
from tests.support.boxes import why_no_boxes

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(bool(why_no_boxes("nft", "unshare")), reason=str(why_no_boxes("nft"))),
]

CONFIGS = (
    CLOSED,
    ROUTER,
    EXIT,
    replace(EXIT, use_exit=True, snat=False, advertised=networks(LAN, LAN6, "10.0.0.0/8")),
    replace(ROUTER, local_networks=networks("100.64.0.0/10", "10.1.0.0/16", "2000::/3")),
    replace(EXIT, addresses=(), local_networks=networks("0.0.0.0/0", "::/0")),
)


def complaint_of_nft(text: str) -> str:
    """What nft says to a ruleset that is only checked, in a namespace of its own."""
    done = subprocess.run(
        ["unshare", "-n", str(shutil.which("nft")), "-c", "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def render(config: GatewayConfig) -> str:
    return render_ruleset(config, parse_filter(config.filter or ()).allows)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_kind_of_config_is_accepted(config: GatewayConfig) -> None:
    assert complaint_of_nft(render(config)) == ""


@pytest.mark.parametrize("config", CONFIGS)
def test_so_is_one_beside_a_program_that_hands_ports_on(config: GatewayConfig) -> None:
    allows = parse_filter(config.filter or ()).allows
    assert complaint_of_nft(render_ruleset(config, allows, published=True)) == ""


@settings(max_examples=25, deadline=None)
@given(RULES, st.sampled_from(CONFIGS))
def test_whatever_the_rules_nft_accepts_the_ruleset(
    rules: list[FilterRule], config: GatewayConfig
) -> None:
    text = render(replace(config, filter=tuple(rules)))
    assert complaint_of_nft(text) == "", text
