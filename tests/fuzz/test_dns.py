"""Whatever a stranger sends as DNS, it is read or refused, and an answer never grows."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http1 import HttpRequest
from appliance.dns.os.resolvconf import MAX_SERVERS, parse_servers
from appliance.peerapi.exitdns import CONTENT_TYPE, parse_request
from appliance.protocol import dns
from appliance.protocol.errors import ProtocolError
from tests.support.dnsmessages import query, query_bytes

messages = st.binary(max_size=600) | st.builds(
    lambda head, tail: query_bytes(opt=1232)[:head] + tail,
    st.integers(0, 45),
    st.binary(max_size=80),
)
names = st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,5}", fullmatch=True)


@given(messages)
def test_any_bytes_are_a_query_or_refused(data: bytes) -> None:
    """A query that was read can be failed and cut, in no more bytes than it had or 512."""
    try:
        asked = dns.parse_query(data)
    except ProtocolError:
        told = dns.encode_unreadable(data)
        assert told is None or len(told) == 12
        return
    assert 12 < asked.end <= len(data)
    failure = dns.encode_failure(asked, dns.SERVER_FAILURE)
    assert dns.answers(asked, failure)
    assert len(failure) <= len(data)
    assert len(dns.fit_udp(asked, failure + bytes(70_000))) <= asked.udp_limit


@given(messages)
def test_any_bytes_are_an_answer_or_not(data: bytes) -> None:
    """Reading the addresses of an answer ends, and finds none that is not in it."""
    asked = query()
    head = dns.encode_failure(asked, 0)
    for reply in (data, head[:6] + b"\0\5" + head[8:] + data):
        if not dns.answers(asked, reply):
            continue
        try:
            found = dns.parse_addresses(asked, reply)
        except ProtocolError:
            continue
        assert all(address.packed in reply for address in found)


@given(names, st.sampled_from([1, 16, 28, 65]), st.integers(0, 65535))
def test_a_query_is_read_as_it_was_asked(name: str, kind: int, number: int) -> None:
    try:
        asked = dns.encode_query(number, name, kind)
    except ProtocolError:
        return
    assert (asked.name, asked.kind, asked.id) == (name, kind, number)
    assert dns.parse_query(asked.data) == asked


@given(messages, st.text(max_size=60), st.sampled_from(["GET", "POST", "HEAD", "get", ""]))
def test_any_request_is_a_query_or_refused(data: bytes, text: str, method: str) -> None:
    encoded = base64.urlsafe_b64encode(data).decode().rstrip("=")
    for request in (
        HttpRequest(method, f"/dns-query?dns={text}", (("Content-Type", CONTENT_TYPE),), data),
        HttpRequest("GET", f"/dns-query?dns={encoded}"),
    ):
        try:
            parse_request(request)
        except RequestRefusedError as refused:
            status = refused.status
        else:
            status = 400
        assert 400 <= status < 500


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["nameserver", " ", "::1", "\n", "1.2.3.4"])).map("".join)
)
def test_any_text_is_a_resolv_conf(text: str) -> None:
    assert len(parse_servers(text)) <= MAX_SERVERS
