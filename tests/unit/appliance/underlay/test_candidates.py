import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.underlay.candidates import (
    HEARD_LIFETIME_S,
    MAX_CANDIDATES,
    Candidates,
    is_better,
    is_usable,
)
from appliance.underlay.config import Direct
from tests.support.underlay import address, direct

# One address, its latency in ms, another, its latency, whether the first is better.
# From the reference's TestBetterAddr (wgengine/magicsock/magicsock_test.go, v1.102.5): those of
# its cases that have two addresses and neither a relay nor an MTU.
REFERENCE = [
    ("1.2.3.4:555", 5, "5.6.7.8:999", 10, True),
    ("1.2.3.4:555", 5, "1.2.3.4:555", 10, False),
    ("1.2.3.4:555", 100, "5.6.7.8:999", 100, False),
    ("1.2.3.4:555", 100, "5.6.7.8:999", 101, False),
    ("1.2.3.4:555", 100, "5.6.7.8:999", 103, True),
    ("1.2.3.4:555", 0, "5.6.7.8:999", 0, False),
    ("10.0.0.2:123", 100, "1.2.3.4:555", 91, True),
    ("1.2.3.4:555", 91, "10.0.0.2:123", 100, False),
    ("10.0.0.2:123", 100, "1.2.3.4:555", 30, False),
    ("1.2.3.4:555", 30, "10.0.0.2:123", 100, True),
    ("[2001::5]:123", 100, "1.2.3.4:555", 91, True),
    ("1.2.3.4:555", 91, "[2001::5]:123", 100, False),
    ("[2001::5]:123", 100, "1.2.3.4:555", 30, False),
    ("1.2.3.4:555", 30, "[2001::5]:123", 100, True),
    ("192.168.0.1:555", 100, "[2001::5]:123", 101, True),
    ("[2001::5]:123", 101, "192.168.0.1:555", 100, False),
    ("[fe80::ce8:474a:a27e:113b]:555", 101, "[fd89:1a8a:8888::dddd]:555", 100, True),
    ("[fe80::ce8:474a:a27e:113b]:555", 101, "[::1]:555", 100, False),
]
OURS = [
    ("10.0.0.2:123", 100, "1.2.3.4:555", 50, False),
    ("127.0.0.1:1", 2, "10.0.0.2:1", 2, True),
    ("169.254.1.1:1", 2, "10.0.0.2:1", 2, True),
    ("10.0.0.2:1", 2, "169.254.1.1:1", 2, False),
    ("1.2.3.4:555", 0, "5.6.7.8:999", 5, True),
]


@pytest.mark.parametrize(("one", "one_ms", "other", "other_ms", "better"), REFERENCE + OURS)
def test_one_address_is_better_as_in_the_reference(
    one: str, one_ms: float, other: str, other_ms: float, *, better: bool
) -> None:
    assert is_better(direct(one, one_ms), direct(other, other_ms)) is better


PATHS = st.builds(
    Direct,
    st.sampled_from(
        [
            address(text)
            for text in ("1.2.3.4", "10.0.0.1", "127.0.0.1", "[2001:db8::1]:1", "169.254.0.9")
        ]
    ),
    st.floats(0.0, 2.0),
)


@settings(deadline=None)
@given(PATHS, PATHS)
def test_two_addresses_are_never_each_better_than_the_other(one: Direct, other: Direct) -> None:
    assert not (is_better(one, other) and is_better(other, one))


def test_a_new_netmap_replaces_the_candidates_of_the_old_one() -> None:
    candidates = Candidates()
    candidates.set_netmap([address("192.0.2.1"), address("192.0.2.2")])
    candidates.set_netmap([address("192.0.2.2")])
    assert [c.address for c in candidates] == [address("192.0.2.2")]


def test_a_new_call_me_maybe_replaces_what_the_last_one_named_but_not_the_netmap() -> None:
    candidates = Candidates()
    candidates.set_netmap([address("192.0.2.1")])
    candidates.set_called([address("192.0.2.1"), address("192.0.2.2")])
    candidates.set_called([address("192.0.2.3")])
    assert {str(c.address.ip) for c in candidates} == {"192.0.2.1", "192.0.2.3"}


def test_what_was_only_heard_is_forgotten_after_a_while() -> None:
    candidates = Candidates()
    candidates.hear(address("192.0.2.1"), 0.0)
    candidates.prune(HEARD_LIFETIME_S, None)
    assert len(candidates) == 1
    candidates.prune(HEARD_LIFETIME_S + 0.1, None)
    assert len(candidates) == 0


def test_the_address_in_use_is_kept_however_old() -> None:
    candidates = Candidates()
    candidates.hear(address("192.0.2.1"), 0.0)
    candidates.prune(1000.0, address("192.0.2.1"))
    assert len(candidates) == 1


def test_strangers_cannot_fill_the_memory_nor_push_out_the_netmap() -> None:
    candidates = Candidates()
    candidates.set_netmap([address("198.51.100.1")])
    for i in range(3 * MAX_CANDIDATES):
        candidates.hear(address(f"203.0.113.9:{i + 1}"), float(i))
    assert len(candidates) == MAX_CANDIDATES
    assert candidates.get(address("198.51.100.1")) is not None
    assert candidates.get(address(f"203.0.113.9:{3 * MAX_CANDIDATES}")) is not None


def test_when_the_netmap_fills_all_places_nothing_more_is_heard() -> None:
    candidates = Candidates()
    candidates.set_netmap([address(f"192.0.2.1:{i + 1}") for i in range(2 * MAX_CANDIDATES)])
    assert len(candidates) == MAX_CANDIDATES
    assert candidates.hear(address("203.0.113.9"), 1.0) is None


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("192.0.2.1:1", True),
        ("192.0.2.1:0", False),
        ("100.64.0.1:41641", False),
        ("100.127.255.255:1", False),
        ("100.128.0.1:1", True),
        ("[fd7a:115c:a1e0::1]:1", False),
        ("[fd7b::1]:1", True),
        ("[fe80::1]:1", False),
        ("169.254.0.1:1", True),
        ("0.0.0.0:1", False),
        ("224.0.0.1:1", False),
        ("[ff02::1]:1", False),
    ],
)
def test_the_tailnet_itself_and_places_without_a_host_are_no_candidates(
    text: str, *, usable: bool
) -> None:
    assert is_usable(address(text)) is usable
