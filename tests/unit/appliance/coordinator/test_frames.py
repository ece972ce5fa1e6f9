import zstandard

from appliance.coordinator.frames import Framer
from appliance.coordinator.mapper.session import MapSession
from appliance.protocol.tailcfg import MapResponse, decode, encode
from tests.support.snapshots import NOW, advance, node, view_of

KEEPALIVE = MapResponse(keep_alive=True)


def test_a_plain_keep_alive_has_the_reference_bytes() -> None:
    expected = "12000000" + "7b224b656570416c697665223a747275657d"
    assert Framer().frame(KEEPALIVE, compress=False).hex() == expected


def test_keep_alives_are_always_the_same_bytes() -> None:
    framer = Framer()
    assert len({framer.frame(KEEPALIVE, compress=True) for _ in range(3)}) == 1


def test_a_compressed_message_is_one_zstd_frame_with_its_length() -> None:
    message, framer = MapResponse(domain="mesh.test" * 100), Framer()
    data, plain = framer.frame(message, compress=True), framer.frame(message, compress=False)
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert zstandard.frame_content_size(data[4:]) == len(plain) - 4
    assert zstandard.decompress(data[4:]) == plain[4:]


def test_nodes_that_are_encoded_once_make_the_same_message() -> None:
    view, framer = view_of(node(1), node(2), node(3)), Framer()
    first = MapSession(1).first(view, NOW)
    for _ in range(2):
        assert framer.frame(first, compress=False)[4:] == encode(first)


def test_a_node_that_changed_is_encoded_anew() -> None:
    view, framer = view_of(node(1), node(2)), Framer()
    framer.frame(MapSession(1).first(view, NOW), compress=False)
    after, change = advance(view, node(2, name="renamed"))
    framer.forget(change.nodes)
    told = MapSession(1).first(after, NOW)
    sent = decode(MapResponse, framer.frame(told, compress=False)[4:])
    assert [peer.name for peer in sent.peers or ()] == ["renamed.mesh.test."]


def test_an_empty_list_of_peers_stays_one() -> None:
    first = MapSession(1).first(view_of(node(1)), NOW)
    assert b'"Peers":[]' in Framer().frame(first, compress=False)
