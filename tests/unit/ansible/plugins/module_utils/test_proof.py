import msgspec

from ansible.plugins.module_utils.proof import STEPS, facts_of, of_peers, own, shortfalls
from appliance.localapi.types import Fact, RouteStatus

LAN = "192.168.1.0/24"


def route(upto: str = "proven", prefix: str = LAN, router: str = ""):
    """A route as the agent's own code writes it."""
    reached = STEPS.index(upto)
    facts = {s: Fact(ok=STEPS.index(s) <= reached, evidence=f"About {s}.") for s in STEPS}
    return msgspec.to_builtins(RouteStatus(prefix=prefix, router=router, **facts))


def test_the_first_missing_step_is_named_with_its_evidence() -> None:
    assert shortfalls([route("approved")], (), "proven") == [f"{LAN} is not serving: About serving"]
    assert shortfalls([route("serving")], (), "serving") == []


def test_a_route_that_nobody_offers_is_named() -> None:
    assert shortfalls([route()], ("10.0.0.0/8", "exit"), "serving") == [
        "10.0.0.0/8 is not advertised: nobody offers it here",
        "the exit node is not advertised: nobody offers it here",
    ]


def test_of_two_routers_of_a_subnet_the_better_one_counts() -> None:
    two = [route("proven", router="a"), route("approved", router="b")]
    assert shortfalls(two, (), "proven") == []
    assert shortfalls(two[::-1], (), "proven") == []


def test_own_routes_and_those_of_peers_are_told_apart() -> None:
    mine, theirs = route(), route(router="home")
    assert own([mine, theirs]) == [mine]
    assert of_peers([mine, theirs]) == [theirs]


def test_a_result_has_each_fact_and_its_evidence() -> None:
    facts = facts_of(route("approved", router="home"))
    assert [facts[step] for step in STEPS] == [True, True, False, False]
    assert facts["prefix"] == LAN
    assert facts["router"] == "home"
    assert facts["evidence"]["serving"] == "About serving."
