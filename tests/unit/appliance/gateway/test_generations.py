from __future__ import annotations

from appliance.gateway.generations import Block, Generation, render_removal

SET: Block = ["set a {", "\ttype ipv4_addr; flags interval;", "\telements = { 1.2.3.4 }", "}"]
CHAIN: Block = ["chain admit {", "\tip saddr @a return", "\tdrop", "}"]
HOOK: Block = [
    "chain input {",
    "\ttype filter hook input priority 0; policy accept;",
    '\tiifname "admit" goto admit',
    "}",
]
WITH_SET: Block = [
    "chain output {",
    "\ttype filter hook output priority 0; policy accept;",
    "\tip daddr { 1.2.3.4, 1.2.3.6 } drop",
    "}",
]


def test_the_first_generation_replaces_the_table_and_keeps_the_names() -> None:
    text = Generation.first("t", [SET, CHAIN, HOOK]).render_whole()
    assert text.startswith("table inet t\ndelete table inet t\ntable inet t {\n\tset a {\n")
    assert '\t\tiifname "admit" goto admit\n' in text
    assert render_removal("t") == "table inet t\ndelete table inet t\n"


def test_an_update_is_prepared_under_names_of_its_own() -> None:
    first = Generation.first("t", [SET, CHAIN, HOOK])
    prepared = first.successor([SET, CHAIN, HOOK]).render_preparation()
    assert "set a_a {" in prepared
    assert "chain admit_a {" in prepared
    assert "@a_a return" in prepared
    assert "hook" not in prepared


def test_the_switch_points_the_hooks_at_it_and_removes_what_was() -> None:
    first = Generation.first("t", [SET, CHAIN, HOOK])
    switch = first.successor([SET, CHAIN, HOOK]).render_switch(first)
    assert switch.splitlines()[0] == "flush chain inet t input"
    assert '\t\tiifname "admit" goto admit_a' in switch, "an interface keeps its name"
    assert switch.splitlines()[-3:] == [
        "flush chain inet t admit",
        "delete chain inet t admit",
        "delete set inet t a",
    ]


def test_generations_take_turns() -> None:
    first = Generation.first("t", [HOOK])
    second = first.successor([HOOK])
    third = second.successor([HOOK])
    assert (first.tag, second.tag, third.tag) == ("", "_a", "_b")
    assert third.successor([HOOK]).tag == "_a"


def test_a_hook_that_is_needed_no_more_goes() -> None:
    first = Generation.first("t", [HOOK, WITH_SET])
    switch = first.successor([HOOK]).render_switch(first)
    assert "delete chain inet t output" in switch
    assert "delete chain inet t output_rules" in switch


def test_no_hook_has_a_set_of_its_own() -> None:
    """It would be empty for a moment when it is new."""
    generation = Generation.first("t", [WITH_SET])
    [hook] = generation.hooks
    assert hook[2:] == ("\tgoto output_rules", "}")
