from ipaddress import ip_address

import pytest

from appliance.protocol import dns
from appliance.protocol.errors import ProtocolError
from tests.support.dnsmessages import query, query_bytes, question, reply_to


def test_a_query_is_read_up_to_its_question() -> None:
    asked = query("Web.Example", 28)
    assert (asked.id, asked.name, asked.kind) == (0x1234, "web.example", 28)
    assert asked.data[asked.end :] == b""
    assert asked.udp_limit == 512


def test_the_root_has_the_empty_name() -> None:
    assert query("").name == ""


def test_edns_says_how_much_fits_and_less_than_512_counts_as_512() -> None:
    assert query(opt=1232).udp_limit == 1232
    assert query(opt=100).udp_limit == 512


def test_a_dot_inside_a_label_cannot_pretend_to_be_two_labels() -> None:
    data = query_bytes()[:12] + b"\x0bweb.example\0\0\1\0\1"
    assert dns.parse_query(data).name != "web.example"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        query_bytes()[:11],
        query_bytes()[:-1],
        query_bytes(opt=512)[:-1],
        b"\0\0\x80\0" + query_bytes()[4:],  # an answer
        b"\0\0\x28\0" + query_bytes()[4:],  # an update
        query_bytes()[:4] + b"\0\2" + query_bytes()[6:],  # two questions
        query_bytes()[:4] + b"\0\0" + query_bytes()[6:],
        query_bytes()[:6] + b"\0\1" + query_bytes()[8:],  # an answer inside a query
        query_bytes()[:10] + b"\0\5" + query_bytes()[12:],
        query_bytes()[:12] + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        query_bytes()[:12] + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 62,
        query_bytes()[:12] + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
        query_bytes() + bytes(66_000),
    ],
)
def test_what_is_no_query_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        dns.parse_query(data)


def test_a_failure_repeats_number_and_question() -> None:
    asked = query()
    failure = dns.encode_failure(asked, dns.SERVER_FAILURE)
    assert dns.answers(asked, failure)
    assert dns.rcode_of(failure) == dns.SERVER_FAILURE
    assert failure[12:] == question("web.example")


def test_what_cannot_be_read_is_told_so_but_answers_are_never_answered() -> None:
    garbage = dns.encode_unreadable(b"\xab\xcd\1\0" + bytes(8))
    assert garbage is not None
    assert (garbage[:2], dns.rcode_of(garbage)) == (b"\xab\xcd", dns.FORMAT_ERROR)
    update = dns.encode_unreadable(b"\xab\xcd\x28\0" + bytes(8))
    assert update is not None
    assert dns.rcode_of(update) == dns.NOT_IMPLEMENTED
    assert dns.encode_unreadable(garbage) is None
    assert dns.encode_unreadable(b"short") is None


def test_an_answer_too_long_for_udp_says_so() -> None:
    asked = query()
    long, short = reply_to(asked, *[bytes(200)] * 3), reply_to(asked, bytes(4))
    assert dns.fit_udp(asked, short) == short
    cut = dns.fit_udp(asked, long)
    assert dns.is_truncated(cut)
    assert dns.answers(asked, cut)
    assert len(cut) <= 512
    assert dns.fit_udp(query(opt=4096), long) == long


def test_only_the_answer_to_the_question_asked_counts() -> None:
    asked = query()
    good = reply_to(asked, bytes(4))
    assert dns.answers(asked, good)
    assert dns.answers(asked, reply_to(query("WEB.example"), bytes(4)))
    assert not dns.answers(asked, dns.renumber(good, 1))
    assert not dns.answers(asked, reply_to(query("bad.example"), bytes(4)))
    assert not dns.answers(asked, asked.data)
    assert not dns.answers(asked, good[:11])


def test_a_refusal_may_leave_the_question_out_but_success_may_not() -> None:
    asked = query()
    refusal = b"\x12\x34\x81\x85" + bytes(8)
    assert dns.answers(asked, refusal)
    assert not dns.answers(asked, b"\x12\x34\x81\x80" + bytes(8))


def test_a_query_keeps_everything_but_its_number() -> None:
    asked = query(opt=1232)
    other = asked.with_id(7)
    assert (other.id, other.name, other.end, other.udp_limit) == (7, asked.name, asked.end, 1232)
    assert other.data[2:] == asked.data[2:]


def test_a_query_of_our_own_can_be_read_by_us() -> None:
    asked = dns.encode_query(7, "Mesh.Example.org.", dns.TYPE_AAAA)
    assert (asked.id, asked.name, asked.kind) == (7, "mesh.example.org", dns.TYPE_AAAA)
    assert dns.encode_query(0, "b\u00fccher.example", 1).name == "xn--bcher-kva.example"


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64, ".".join(["abcdefgh"] * 40)])
def test_what_is_no_host_name_is_not_asked_for(name: str) -> None:
    with pytest.raises(ProtocolError):
        dns.encode_query(0, name, 1)


def test_addresses_are_found_behind_aliases() -> None:
    asked = query("web.example")
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\1\0\4\2ab\0"
    address = b"\2ab\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\7"
    head = b"\x12\x34\x81\x80\0\1\0\2\0\0\0\0" + question("web.example")
    assert dns.parse_addresses(asked, head + alias + address) == (ip_address("192.0.2.7"),)


@pytest.mark.parametrize(
    "tail", [b"", b"\xc0", b"\xc0\x0c\0", b"\x05ab", b"\xc0\x0c\0\1\0\1\0\0\0\1"]
)
def test_an_answer_that_is_cut_off_has_no_addresses(tail: bytes) -> None:
    asked = query()
    head = b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0" + question("web.example")
    with pytest.raises(ProtocolError):
        dns.parse_addresses(asked, head + tail)
