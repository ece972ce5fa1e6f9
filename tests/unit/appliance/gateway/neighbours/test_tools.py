from __future__ import annotations

import pytest

from appliance.gateway.neighbours.chains import Chain, ChainName, Hook
from appliance.gateway.neighbours.plan import Passage, places
from appliance.gateway.neighbours.tools import (
    ToolError,
    render_iptables,
    render_nft,
    render_removal,
    run,
)

INPUT = Chain(ChainName("ip", "filter", "INPUT"), Hook.INPUT, drops=True)
[PLACE] = places([INPUT], {}, Passage("latchkey0", 41641))


def test_iptables_takes_all_rules_in_one_step() -> None:
    assert render_iptables(INPUT.name, PLACE.entries) == (
        "*filter\n"
        '-I INPUT 1 -m mark --mark 0x20000/0xff0000 -m comment --comment "latchkey: admitted" '
        "-j ACCEPT\n"
        "-I INPUT 2 -p udp --dport 41641 -m comment --comment "
        '"latchkey: WireGuard port 41641" -j ACCEPT\n'
        "COMMIT\n"
    )


def test_nft_puts_the_last_one_in_first_so_that_it_stands_last() -> None:
    assert render_nft(INPUT.name, PLACE.entries) == (
        "insert rule ip filter INPUT udp dport 41641 counter accept "
        'comment "latchkey: WireGuard port 41641"\n'
        "insert rule ip filter INPUT meta mark and 0xff0000 == 0x20000 counter accept "
        'comment "latchkey: admitted"\n'
    )


def test_rules_go_by_their_handles() -> None:
    assert render_removal(INPUT.name, [4, 7]) == (
        "delete rule ip filter INPUT handle 4\ndelete rule ip filter INPUT handle 7\n"
    )


async def test_a_missing_program_is_named() -> None:
    with pytest.raises(ToolError, match="lk-no-such-tool cannot be run"):
        await run("lk-no-such-tool")


async def test_a_refusal_is_the_programs_first_line() -> None:
    with pytest.raises(ToolError, match=r"^sh refused: not today$"):
        await run("sh", "-c", "echo not today >&2; echo more >&2; exit 3")


async def test_a_program_reads_what_it_is_given() -> None:
    assert await run("cat", text="rules") == "rules"
