import pytest

from appliance.underlay.config import Direct, Relayed
from appliance.underlay.errors import UnknownPeerError
from appliance.underlay.fake import FakeUnderlay
from tests.support.underlay import address, config, peer

HOME, PI = peer("home"), peer("pi")


async def test_each_peer_has_a_proxy_of_its_own_that_stays() -> None:
    fake = FakeUnderlay()
    await fake.apply(config("laptop", HOME))
    first = fake.proxy_endpoint(HOME.key)
    await fake.apply(config("laptop", HOME, PI))
    assert fake.proxy_endpoint(HOME.key) == first
    assert fake.proxy_endpoint(PI.key) != first
    with pytest.raises(UnknownPeerError):
        fake.proxy_endpoint(peer("nobody").key)


async def test_a_pretended_path_is_told_and_survives_the_next_netmap() -> None:
    fake = FakeUnderlay()
    await fake.apply(config("laptop", HOME))
    assert fake.status.value.paths == {HOME.key: Relayed(1)}
    direct = Direct(address("203.0.113.1"), 0.01)
    fake.pretend_path(HOME.key, direct)
    await fake.apply(config("laptop", HOME, PI))
    assert fake.status.value.paths == {HOME.key: direct, PI.key: Relayed(1)}
    answer = await fake.ping(HOME.key)
    assert answer is not None
    assert answer.path == direct
