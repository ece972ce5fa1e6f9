import pytest

from appliance.gateway.marks import (
    CT_CUT,
    CT_ENTERED,
    CT_THROUGH,
    CT_TO_US,
    IS_CUT,
    IS_FORWARDED,
    IS_NOT_CUT,
    WAS_FORWARDED,
)

OF_OTHERS = 0x1F
FWMARK = 0x80000


def holds(condition: str, mark: int) -> bool:
    """Whether nft would say so of a connection with this mark."""
    mask, sign, value = condition.removeprefix("ct mark and ").split()
    return (mark & int(mask, 16) == int(value, 16)) is (sign == "==")


@pytest.mark.parametrize("kind", [CT_THROUGH, CT_TO_US, CT_ENTERED])
def test_a_connection_is_cut_or_not_whatever_its_kind(kind: int) -> None:
    assert holds(IS_NOT_CUT, kind | OF_OTHERS)
    assert not holds(IS_CUT, kind | OF_OTHERS)
    assert holds(IS_CUT, kind | CT_CUT | OF_OTHERS)
    assert not holds(IS_NOT_CUT, kind | CT_CUT | OF_OTHERS)


def test_what_a_peer_or_a_lan_opened_through_us_is_told_from_the_rest() -> None:
    for kind in (CT_THROUGH, CT_ENTERED):
        assert holds(IS_FORWARDED, kind | OF_OTHERS)
        assert not holds(IS_FORWARDED, kind | CT_CUT)
        assert holds(WAS_FORWARDED, kind)
        assert holds(WAS_FORWARDED, kind | CT_CUT)
    for other in (CT_TO_US, 0, OF_OTHERS):
        assert not holds(IS_FORWARDED, other)
        assert not holds(WAS_FORWARDED, other)


def test_connections_of_our_own_sockets_are_none_of_these() -> None:
    for condition in (IS_CUT, IS_FORWARDED, WAS_FORWARDED):
        assert not holds(condition, FWMARK)
