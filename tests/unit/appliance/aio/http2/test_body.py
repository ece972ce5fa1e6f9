import pytest

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http2.body import RequestBody
from appliance.aio.http2.budget import Allowance, ByteBudget


def request_body(limit: int = 100, shared: int = 0) -> RequestBody:
    return RequestBody(limit, Allowance(ByteBudget(shared), free=50))


async def test_a_body_is_collected_and_may_be_read_twice() -> None:
    body = request_body()
    body.receive(b"one ")
    body.receive(b"two")
    body.finish()
    assert await body.wait(1) == b"one two"
    assert await body.wait(1) == b"one two"
    assert body.complete


async def test_a_body_that_is_too_long_is_refused() -> None:
    body = request_body(limit=10)
    body.receive(bytes(11))
    body.finish()
    with pytest.raises(RequestRefusedError) as refusal:
        await body.wait(1)
    assert refusal.value.status == 413
    assert not body.complete


async def test_a_body_is_refused_when_the_shared_memory_is_used_up() -> None:
    body = request_body(shared=10)
    body.receive(bytes(61))
    with pytest.raises(RequestRefusedError) as refusal:
        await body.wait(1)
    assert refusal.value.status == 503


async def test_a_refused_body_holds_no_memory() -> None:
    budget = ByteBudget(100)
    body = RequestBody(120, Allowance(budget, free=50))
    body.receive(bytes(110))
    assert budget.left == 40
    body.receive(bytes(11))
    assert budget.left == 100
    body.receive(bytes(110))
    assert budget.left == 100


async def test_a_body_that_trickles_in_is_refused() -> None:
    body = request_body()
    body.receive(b"never more")
    with pytest.raises(RequestRefusedError) as refusal:
        await body.wait(0.01)
    assert refusal.value.status == 408
