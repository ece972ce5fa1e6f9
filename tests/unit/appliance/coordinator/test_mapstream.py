import zstandard

from appliance.coordinator.mapstream import frame
from appliance.protocol.tailcfg import MapResponse

KEEPALIVE = MapResponse(keep_alive=True)


def test_a_plain_keep_alive_has_the_reference_bytes() -> None:
    expected = "12000000" + "7b224b656570416c697665223a747275657d"
    assert frame(KEEPALIVE, compress=False).hex() == expected


def test_a_compressed_message_is_one_zstd_frame_with_its_length() -> None:
    message = MapResponse(domain="mesh.test" * 100)
    data = frame(message, compress=True)
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert zstandard.frame_content_size(data[4:]) == len(frame(message, compress=False)) - 4
    assert zstandard.decompress(data[4:]) == frame(message, compress=False)[4:]
