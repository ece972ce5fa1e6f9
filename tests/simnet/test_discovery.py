"""Two nodes find each other through every kind of NAT, and lose and find each other again.

laptop ── NAT ──┬── internet ──┬── NAT ── home
                └── relay ─────┘
"""

import itertools

import pytest

from appliance.underlay.config import Direct, Relayed
from tests.support.simnet import PORT, Host, Mapping, Nat, World

CONE, EASY, HARD = Mapping.CONE, Mapping.EASY, Mapping.HARD


def pair(world: World, laptop_nat: Mapping | None, home_nat: Mapping | None) -> tuple[Host, Host]:
    laptop = world.host(
        "laptop",
        "192.168.7.2" if laptop_nat else "203.0.113.7",
        Nat("203.0.113.7", laptop_nat) if laptop_nat else None,
    )
    home = world.host(
        "home",
        "192.168.1.2" if home_nat else "203.0.113.1",
        Nat("203.0.113.1", home_nat) if home_nat else None,
    )
    world.join()
    return laptop, home


def both_direct(one: Host, other: Host) -> bool:
    return isinstance(one.path_to(other), Direct) and isinstance(other.path_to(one), Direct)


@pytest.mark.parametrize(
    ("laptop_nat", "home_nat"),
    [(None, None), (EASY, None), (HARD, None), (EASY, EASY), (CONE, HARD), (HARD, CONE)],
)
def test_two_nodes_go_direct_within_a_second_of_the_first_packet(
    laptop_nat: Mapping | None, home_nat: Mapping | None
) -> None:
    world = World()
    laptop, home = pair(world, laptop_nat, home_nat)
    world.stream(laptop, home, 2)
    took_s = world.run_until(lambda: both_direct(laptop, home), 1.0)
    assert took_s < 0.5, world.draw()


@pytest.mark.parametrize(("laptop_nat", "home_nat"), [(HARD, HARD), (EASY, HARD), (HARD, EASY)])
def test_nats_that_no_ping_passes_stay_on_the_relay_and_lose_nothing(
    laptop_nat: Mapping, home_nat: Mapping
) -> None:
    world = World()
    laptop, home = pair(world, laptop_nat, home_nat)
    world.stream(laptop, home, 20)
    world.run(21)
    assert laptop.path_to(home) == Relayed(1), world.draw()
    assert len(home.received) == len(laptop.received) == 200, world.draw()


def test_peers_on_one_lan_talk_over_the_lan() -> None:
    world = World()
    nat = Nat("203.0.113.7", EASY)
    laptop, printer = world.host("laptop", "192.168.7.2", nat), world.host("pi", "192.168.7.3", nat)
    world.join()
    world.stream(laptop, printer, 2)
    world.run(3)
    path = laptop.path_to(printer)
    assert isinstance(path, Direct), world.draw()
    assert str(path.address) == f"192.168.7.3:{PORT}", world.draw()


def test_the_first_packet_goes_through_the_relay_and_none_is_lost_on_the_way_to_direct() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    world.stream(laptop, home, 2, every_s=0.01)
    world.run(3)
    assert len(home.received) == len(laptop.received) == 200, world.draw()


def test_blocked_udp_means_the_relay_and_unblocked_udp_direct_again() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    laptop.udp_blocked = True
    world.join()
    world.stream(laptop, home, 40)
    world.run(10)
    assert laptop.path_to(home) == Relayed(1), world.draw()
    laptop.udp_blocked = False
    took_s = world.run_until(lambda: both_direct(laptop, home), 10.0)
    assert took_s <= 6.5, world.draw()
    world.run(32)
    assert len(home.received) == 400, world.draw()


def test_udp_that_dies_under_traffic_is_left_within_three_seconds() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    world.stream(laptop, home, 60)
    world.run(20)
    assert both_direct(laptop, home), world.draw()
    laptop.udp_blocked = True
    lost_at = world.now
    world.run(0.1)
    heard = len(home.received)
    world.run_until(lambda: len(home.received) > heard, 5.0)
    stalled_s = world.now - lost_at
    assert stalled_s <= 3.0, world.draw()
    assert not isinstance(laptop.path_to(home), Direct), world.draw()


def test_udp_that_dies_in_one_direction_only_is_left_too() -> None:
    world = World()
    laptop, home = pair(world, EASY, None)
    world.stream(laptop, home, 60)
    world.run(20)
    assert both_direct(laptop, home), world.draw()
    home.udp_blocked = True
    world.run_until(lambda: isinstance(laptop.path_to(home), Relayed), 7.0)
    world.run_until(lambda: isinstance(home.path_to(laptop), Relayed), 7.0)


def test_a_path_at_rest_sends_nothing_at_all() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    world.stream(laptop, home, 5)
    world.run(80)
    assert laptop.discovery.next_timeout() is None, world.draw()
    assert home.discovery.next_timeout() is None, world.draw()
    assert laptop.path_to(home) == Relayed(1)
    assert laptop.device[home.key].endpoint is None, world.draw()


def test_a_node_that_rested_is_direct_again_within_a_second() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    world.stream(laptop, home, 5)
    world.run(120)
    world.stream(home, laptop, 5)
    world.run_until(lambda: both_direct(laptop, home), 1.0)


def test_nodes_that_know_no_endpoints_of_each_other_meet_by_call_me_maybe() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    world.join(endpoints_known=False)
    world.stream(laptop, home, 5)
    world.run_until(lambda: both_direct(laptop, home), 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_with_a_fifth_of_the_packets_lost_the_path_is_found_and_kept(seed: int) -> None:
    world = World(seed)
    laptop, home = pair(world, EASY, EASY)
    world.loss = 0.2
    world.stream(laptop, home, 120)
    world.run_until(lambda: both_direct(laptop, home), 13.0)
    start, direct_s = world.now, 0.0
    while world.now - start < 60:
        world.run(0.1)
        direct_s += 0.1 * both_direct(laptop, home)
    assert direct_s > 45, world.draw()


def test_the_paths_of_fifty_pairs_are_direct_within_a_second_nineteen_times_of_twenty() -> None:
    times: list[float] = []
    kinds = itertools.cycle([(EASY, EASY), (CONE, HARD), (HARD, CONE), (None, EASY)])
    for seed, (laptop_nat, home_nat) in zip(range(50), kinds, strict=False):
        world = World(seed)
        laptop, home = pair(world, laptop_nat, home_nat)
        world.loss = 0.01
        world.stream(laptop, home, 10)
        times.append(world.run_until(lambda a=laptop, b=home: both_direct(a, b), 10.0))
    assert sorted(times)[47] < 1.0


def test_a_restarted_peer_with_a_new_disco_key_is_found_again() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    world.stream(laptop, home, 30)
    world.run(5)
    assert both_direct(laptop, home), world.draw()
    home.disco_key = type(home.disco_key).from_seed(b"\x07" * 32)
    world.join()
    assert isinstance(laptop.path_to(home), Relayed)
    world.run_until(lambda: both_direct(laptop, home), 3.0)


def test_a_change_of_network_moves_the_path() -> None:
    world = World()
    laptop, home = pair(world, EASY, EASY)
    world.stream(laptop, home, 30)
    world.run(5)
    laptop.nat = Nat("203.0.113.99", EASY)
    laptop.discovery.forget_paths(world.now)
    world.settle(laptop)
    world.run_until(lambda: both_direct(laptop, home), 1.0)
    world.run(5)
    path = home.path_to(laptop)
    assert isinstance(path, Direct), world.draw()
    assert str(path.address.ip) == "203.0.113.99", world.draw()
