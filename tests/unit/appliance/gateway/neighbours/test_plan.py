from __future__ import annotations

from dataclasses import replace

from appliance.gateway.neighbours.chains import Chain, ChainName, Hook, Rule
from appliance.gateway.neighbours.plan import Passage, Place, hooked, places, plan_change

PASSAGE = Passage("latchkey0", 41641)
INPUT = Chain(ChainName("ip", "filter", "INPUT"), Hook.INPUT, drops=True)
FORWARD = Chain(ChainName("ip", "filter", "FORWARD"), Hook.FORWARD, drops=True)
DOCKER_USER = Chain(ChainName("ip", "filter", "DOCKER-USER"))
END = Rule(9, is_end=True)
ADMITTED, MASQUERADED = Rule(1, "latchkey: admitted"), Rule(2, "latchkey: admitted, masqueraded")
TO_DOCKER = Rule(5, jump="DOCKER-USER")


def comments(found: tuple[Place, ...], chain: Chain) -> list[str]:
    [place] = [place for place in found if place.chain == chain.name]
    return [entry.comment for entry in place.entries]


def test_a_chain_that_drops_by_its_policy_gets_our_rules() -> None:
    found = places([INPUT, FORWARD], {}, PASSAGE)
    assert comments(found, INPUT) == ["latchkey: admitted", "latchkey: WireGuard port 41641"]
    assert comments(found, FORWARD) == ["latchkey: admitted", "latchkey: admitted, masqueraded"]


def test_so_does_one_whose_last_rule_drops() -> None:
    open_by_policy = replace(FORWARD, drops=False)
    assert comments(places([open_by_policy], {}, PASSAGE), FORWARD) == []
    rules = {FORWARD.name: (Rule(3), END)}
    assert comments(places([open_by_policy], rules, PASSAGE), FORWARD)
    rules = {FORWARD.name: (END, Rule(3))}
    assert comments(places([open_by_policy], rules, PASSAGE), FORWARD) == []


def test_docker_has_a_place_for_us_where_it_comes_first() -> None:
    chains = [FORWARD, DOCKER_USER]
    found = places(chains, {FORWARD.name: (ADMITTED, TO_DOCKER)}, PASSAGE)
    assert comments(found, FORWARD) == [], "what of ours was there goes"
    assert comments(found, DOCKER_USER)
    found = places(chains, {FORWARD.name: (Rule(3), TO_DOCKER)}, PASSAGE)
    assert comments(found, FORWARD)
    assert all(place.chain != DOCKER_USER.name for place in found)


def test_docker_stops_packets_for_containers_also_under_an_open_policy() -> None:
    chains = [replace(FORWARD, drops=False), DOCKER_USER]
    assert comments(places(chains, {FORWARD.name: (TO_DOCKER,)}, PASSAGE), DOCKER_USER)


def test_our_own_table_is_no_neighbour() -> None:
    ours = replace(INPUT, name=ChainName("inet", "latchkey", "input"))
    assert places([ours], {}, PASSAGE) == ()
    assert hooked([ours, INPUT, DOCKER_USER]) == [INPUT.name, DOCKER_USER.name]


def forward_place() -> Place:
    [place] = places([FORWARD], {}, PASSAGE)
    return place


def test_rules_at_the_head_in_order_need_no_change() -> None:
    assert plan_change(forward_place(), (ADMITTED, MASQUERADED, Rule(3))) is None


def test_anything_else_is_made_anew() -> None:
    place = forward_place()
    for present in (
        (),
        (ADMITTED,),
        (MASQUERADED, ADMITTED),
        (Rule(3), ADMITTED, MASQUERADED),
        (ADMITTED, MASQUERADED, Rule(3), ADMITTED),
    ):
        change = plan_change(place, present)
        assert change is not None
        assert change.add == place.entries
        assert change.remove == tuple(r.handle for r in present if r.comment)


def test_another_port_is_another_rule() -> None:
    [before] = places([INPUT], {}, Passage("latchkey0", 1234))
    rules = tuple(Rule(number, entry.comment) for number, entry in enumerate(before.entries))
    [after] = places([INPUT], {INPUT.name: rules}, PASSAGE)
    assert plan_change(after, rules) is not None


def test_where_nothing_drops_any_more_ours_go() -> None:
    change = plan_change(Place(FORWARD.name, ()), (ADMITTED, Rule(3), MASQUERADED))
    assert change is not None
    assert (change.remove, change.add) == ((1, 2), ())


def test_iptables_lists_its_own_chains_only() -> None:
    assert forward_place().is_iptables
    assert not Place(ChainName("inet", "filter", "input"), ()).is_iptables


def test_a_name_that_nft_would_misread_is_left_alone() -> None:
    for hostile in ("a b", "x; flush ruleset", 'a"b', "", "a\nb", "1"):
        assert places([replace(INPUT, name=ChainName("ip", "filter", hostile))], {}, PASSAGE) == ()
        assert places([replace(INPUT, name=ChainName("ip", hostile, "INPUT"))], {}, PASSAGE) == ()
