import pytest

from appliance.protocol.addresses import AddrPort
from appliance.protocol.disco import CallMeMaybe, DiscoBox, Message, Ping, Pong
from appliance.underlay.config import Direct, PeerUnderlay, Relayed
from appliance.underlay.discovery import (
    MAX_RELAY_PINGS,
    RELAY_ADDRESS,
    CallWanted,
    Discovery,
    Effect,
    PeerRestarted,
    PingAnswered,
    RouteChanged,
    SendDatagram,
    SendRelayed,
)
from appliance.underlay.pathstate import Route
from tests.support.simnet import SimPeer
from tests.support.underlay import (
    address,
    config,
    counting_bytes,
    disco_key,
    node_key,
    peer,
)

HOME = peer("home", "203.0.113.1")
SOURCE = address("198.51.100.7:5000")


def started(*peers: PeerUnderlay) -> Discovery:
    discovery = Discovery(counting_bytes())
    discovery.apply(config("laptop", *(peers or (HOME,))), 0.0)
    discovery.take_effects()
    return discovery


def box(name: str = "home") -> DiscoBox:
    """What the peer uses to talk to us."""
    return DiscoBox(disco_key(name), disco_key("laptop").public())


def sealed(message: Ping | Pong | CallMeMaybe, name: str = "home") -> bytes:
    return box(name).seal(message, bytes(24))


def opened(effect: Effect, name: str = "home") -> Message:
    assert isinstance(effect, SendDatagram | SendRelayed)
    return DiscoBox(disco_key(name), disco_key("laptop").public()).open(effect.data)


def test_a_wanted_peer_is_pinged_with_our_node_key_and_called() -> None:
    discovery = started()
    discovery.want(HOME.key, 1.0)
    ping, call = discovery.take_effects()
    assert isinstance(ping, SendDatagram)
    assert ping.address == HOME.endpoints[0]
    message = opened(ping)
    assert isinstance(message, Ping)
    assert message.node_key == node_key("laptop").public()
    assert call == CallWanted(HOME.key)


def test_a_ping_is_answered_to_where_it_came_from_and_says_what_we_saw() -> None:
    discovery = started()
    discovery.receive_datagram(sealed(Ping(b"t" * 12, HOME.key)), SOURCE, 1.0)
    [pong] = discovery.take_effects()
    assert isinstance(pong, SendDatagram)
    assert pong.address == SOURCE
    assert opened(pong) == Pong(b"t" * 12, SOURCE)


def test_a_ping_without_node_key_is_answered_too() -> None:
    discovery = started()
    discovery.receive_datagram(sealed(Ping(b"t" * 12)), SOURCE, 1.0)
    [pong] = discovery.take_effects()
    assert opened(pong) == Pong(b"t" * 12, SOURCE)


def test_strangers_get_no_answer() -> None:
    discovery = started()
    discovery.receive_datagram(sealed(Ping(b"t" * 12), "stranger"), SOURCE, 1.0)
    discovery.receive_datagram(b"TS\xf0\x9f\x92\xac" + bytes(200), SOURCE, 1.0)
    forged = bytearray(sealed(Ping(b"t" * 12, HOME.key)))
    forged[-1] ^= 1
    discovery.receive_datagram(bytes(forged), SOURCE, 1.0)
    assert discovery.take_effects() == []


def test_nodes_that_share_a_disco_key_are_told_apart_by_the_pings_node_key() -> None:
    twin = PeerUnderlay(node_key("twin").public(), HOME.disco_key, (), 1, "twin")
    discovery = started(HOME, twin)
    discovery.receive_datagram(sealed(Ping(b"t" * 12, twin.key)), SOURCE, 1.0)
    discovery.take_effects()
    discovery.want(twin.key, 2.0)
    discovery.want(HOME.key, 2.0)
    sent = [e for e in discovery.take_effects() if isinstance(e, SendDatagram)]
    assert [(e.peer, e.address) for e in sent] == [
        (twin.key, SOURCE),
        (HOME.key, HOME.endpoints[0]),
    ]


def test_a_shared_disco_key_without_a_node_key_makes_the_source_everybodys_candidate() -> None:
    twin = PeerUnderlay(node_key("twin").public(), HOME.disco_key, (), 1, "twin")
    discovery = started(HOME, twin)
    discovery.receive_datagram(sealed(Ping(b"t" * 12)), SOURCE, 1.0)
    assert len(discovery.take_effects()) == 1
    for key in (twin.key, HOME.key):
        discovery.want(key, 2.0)
        sent = [e for e in discovery.take_effects() if isinstance(e, SendDatagram)]
        assert SOURCE in [e.address for e in sent]


def test_a_pong_makes_the_path_direct_even_if_it_comes_from_elsewhere() -> None:
    discovery = started()
    discovery.want(HOME.key, 1.0)
    ping, _ = discovery.take_effects()
    message = opened(ping)
    assert isinstance(message, Ping)
    discovery.receive_datagram(sealed(Pong(message.tx_id, SOURCE)), SOURCE, 1.5)
    direct = Direct(HOME.endpoints[0], 0.5)
    assert discovery.take_effects() == [
        PingAnswered(HOME.key, direct, 0.5),
        RouteChanged(HOME.key, Route(endpoint=HOME.endpoints[0])),
    ]
    assert discovery.paths() == {HOME.key: direct}


def test_a_pong_of_another_peer_proves_nothing() -> None:
    discovery = started(HOME, peer("other"))
    discovery.want(HOME.key, 1.0)
    ping, _ = discovery.take_effects()
    message = opened(ping)
    assert isinstance(message, Ping)
    discovery.receive_datagram(sealed(Pong(message.tx_id, SOURCE), "other"), SOURCE, 1.5)
    assert discovery.paths()[HOME.key] == Relayed(1)


def test_a_call_me_maybe_counts_only_through_a_relay() -> None:
    discovery = started()
    call = sealed(CallMeMaybe((SOURCE,)))
    discovery.receive_datagram(call, SOURCE, 1.0)
    assert discovery.take_effects() == []
    discovery.receive_relayed(HOME.key, call, 1, 1.0)
    sent = [e for e in discovery.take_effects() if isinstance(e, SendDatagram)]
    assert {e.address for e in sent} == {SOURCE, HOME.endpoints[0]}


def test_a_relayed_message_must_have_the_disco_key_of_the_node_that_sent_it() -> None:
    discovery = started(HOME, peer("other"))
    discovery.receive_relayed(HOME.key, sealed(CallMeMaybe((SOURCE,)), "other"), 1, 1.0)
    discovery.receive_relayed(node_key("no").public(), sealed(CallMeMaybe()), 1, 1.0)
    assert discovery.take_effects() == []


def test_a_relayed_ping_is_answered_through_the_same_relay() -> None:
    discovery = started()
    discovery.receive_relayed(HOME.key, sealed(Ping(b"t" * 12, HOME.key)), 7, 1.0)
    [pong] = discovery.take_effects()
    assert isinstance(pong, SendRelayed)
    assert (pong.peer, pong.region) == (HOME.key, 7)
    assert opened(pong) == Pong(b"t" * 12, AddrPort(RELAY_ADDRESS, 7))


def test_our_call_names_our_addresses() -> None:
    discovery = started()
    discovery.call_me_maybe(HOME.key, [SOURCE])
    [call] = discovery.take_effects()
    assert isinstance(call, SendRelayed)
    assert opened(call) == CallMeMaybe((SOURCE,))


def test_somebody_who_waits_for_a_ping_is_answered_by_relay_while_there_is_no_path() -> None:
    discovery = started()
    discovery.ping(HOME.key, 1.0)
    [relayed] = [e for e in discovery.take_effects() if isinstance(e, SendRelayed)]
    message = opened(relayed)
    assert isinstance(message, Ping)
    pong = sealed(Pong(message.tx_id, AddrPort(RELAY_ADDRESS, 1)))
    discovery.receive_relayed(HOME.key, pong, 1, 1.25)
    assert discovery.take_effects() == [PingAnswered(HOME.key, Relayed(1), 0.25)]


def test_waiting_for_relay_pings_takes_bounded_memory() -> None:
    discovery = started()
    for _ in range(3 * MAX_RELAY_PINGS):
        discovery.ping(HOME.key, 1.0)
    sent = [e for e in discovery.take_effects() if isinstance(e, SendRelayed)]
    assert len(sent) == MAX_RELAY_PINGS
    discovery.ping(HOME.key, 7.0)
    assert any(isinstance(e, SendRelayed) for e in discovery.take_effects())


def test_a_peer_without_disco_key_is_left_to_the_relay() -> None:
    mute = PeerUnderlay(node_key("mute").public(), None, (SOURCE,), 3, "mute")
    discovery = started(mute)
    discovery.want(mute.key, 1.0)
    assert discovery.take_effects() == []
    assert discovery.paths() == {mute.key: Relayed(3)}
    assert discovery.next_timeout() is None


def test_a_peers_useless_disco_key_harms_nobody() -> None:
    zero = type(disco_key("x").public())(bytes(32))
    discovery = started(PeerUnderlay(HOME.key, zero, (SOURCE,), 1, "zero"))
    discovery.want(HOME.key, 1.0)
    assert [type(e) for e in discovery.take_effects()] == [CallWanted]
    discovery.call_me_maybe(HOME.key, [])
    assert discovery.take_effects() == []


def test_a_peer_with_a_new_disco_key_has_restarted() -> None:
    discovery = started()
    restarted = PeerUnderlay(HOME.key, disco_key("again").public(), HOME.endpoints, 1, "home")
    discovery.apply(config("laptop", restarted), 1.0)
    assert discovery.take_effects() == [RouteChanged(HOME.key, Route()), PeerRestarted(HOME.key)]
    discovery.receive_datagram(sealed(Ping(b"t" * 12), "again"), SOURCE, 1.0)
    assert len(discovery.take_effects()) == 1


def test_a_removed_peer_is_a_stranger() -> None:
    discovery = started()
    discovery.want(HOME.key, 1.0)
    discovery.apply(config("laptop"), 1.1)
    discovery.take_effects()
    discovery.receive_datagram(sealed(Ping(b"t" * 12)), SOURCE, 1.2)
    discovery.handle_timeout(100.0)
    assert discovery.take_effects() == []
    assert discovery.next_timeout() is None


def test_the_same_netmap_again_changes_nothing() -> None:
    discovery = started()
    discovery.want(HOME.key, 1.0)
    before, _ = discovery.next_timeout(), discovery.take_effects()
    discovery.apply(config("laptop", HOME), 1.1)
    assert discovery.take_effects() == []
    assert discovery.next_timeout() == before


def test_our_new_disco_key_starts_every_path_anew() -> None:
    discovery = started()
    discovery.apply(config("laptop", HOME, disco_key=disco_key("new")), 1.0)
    assert discovery.take_effects() == [RouteChanged(HOME.key, Route())]


def test_counters_are_compared_only_for_paths_that_want_it() -> None:
    discovery = started()
    seen = {HOME.key: SimPeer(HOME.key, tx_bytes=5)}
    assert discovery.wants_counters(1.0)  # a new peer may have been in use
    assert not discovery.wants_counters(10.0)
    seen[HOME.key].endpoint = SOURCE
    discovery.note_counters(seen, {}, 10.0)
    assert discovery.take_effects() == []
    discovery.want(HOME.key, 11.0)
    discovery.take_effects()
    discovery.note_counters(seen, {}, 11.0)
    sent = [e for e in discovery.take_effects() if isinstance(e, SendDatagram)]
    assert [e.address for e in sent] == [SOURCE]


def test_a_proxy_is_no_new_place_of_the_peer() -> None:
    discovery = started()
    discovery.want(HOME.key, 1.0)
    discovery.take_effects()
    proxy = address("127.0.0.1:50001")
    seen = {HOME.key: SimPeer(HOME.key, endpoint=proxy)}
    discovery.note_counters(seen, {HOME.key: proxy}, 1.0)
    assert discovery.take_effects() == []


@pytest.mark.parametrize("size", [0, 1, 6, 38, 61, 62, 77, 78, 80, 124, 2000])
def test_garbage_of_any_length_is_ignored(size: int) -> None:
    discovery = started()
    head = b"TS\xf0\x9f\x92\xac" + disco_key("home").public().raw
    garbage = (head + bytes(2000))[:size]
    discovery.receive_datagram(garbage, SOURCE, 1.0)
    discovery.receive_relayed(HOME.key, garbage, 1, 1.0)
    assert discovery.take_effects() == []
