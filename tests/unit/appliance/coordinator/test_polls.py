from appliance.coordinator.change import EVERYTHING, NOTHING, Change
from appliance.coordinator.polls import MAX_PINGS, Polls
from appliance.protocol.tailcfg import PingRequest
from tests.support.snapshots import node, view_of

ONE, TWO = Change(frozenset({1})), Change(frozenset({2}))


async def test_what_happens_before_a_viewer_is_free_becomes_one_look() -> None:
    poll = Polls().open(1)
    poll.notify(ONE)
    poll.notify(TWO)
    assert await poll.wait(0)
    assert poll.take() == (Change(frozenset({1, 2})), ())
    assert poll.take() == (NOTHING, ())
    assert not await poll.wait(0)


async def test_however_much_happens_what_waits_is_no_larger_than_the_tailnet() -> None:
    poll = Polls().open(1)
    for number in range(10_000):
        poll.notify(Change(frozenset({number % 7})))
    change, _ = poll.take()
    assert len(change.nodes) == 7


async def test_every_open_stream_hears_of_a_change() -> None:
    polls = Polls()
    first, second = polls.open(1), polls.open(2)
    polls.on_change(view_of(node(1)), EVERYTHING)
    assert first.take()[0] == second.take()[0] == EVERYTHING


async def test_a_newer_stream_of_a_node_ends_the_older() -> None:
    polls = Polls()
    older = polls.open(1)
    newer = polls.open(1)
    assert await older.wait(0)
    assert older.replaced
    assert not newer.replaced
    assert not polls.close(older)
    assert polls.of_node(1) is newer
    assert polls.close(newer)
    assert len(polls) == 0


async def test_questions_wait_in_line_up_to_a_limit() -> None:
    poll = Polls().open(1)
    for number in range(MAX_PINGS + 3):
        poll.ask(PingRequest(url=str(number)))
    assert await poll.wait(0)
    _, pings = poll.take()
    assert [ping.url for ping in pings] == [str(n) for n in range(3, MAX_PINGS + 3)]
