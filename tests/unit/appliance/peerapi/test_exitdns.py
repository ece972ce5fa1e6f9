import base64

import pytest

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http1 import HttpRequest
from appliance.peerapi.exitdns import CONTENT_TYPE, MAX_QUERY, is_refused, parse_request
from tests.support.dnsmessages import query, query_bytes

TYPED = (("Content-Type", CONTENT_TYPE),)


def get(text: str) -> HttpRequest:
    return HttpRequest("GET", f"/dns-query?dns={text}")


def test_get_and_post_carry_the_same_query() -> None:
    data = query_bytes(opt=1232)
    text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert parse_request(get(text)) == parse_request(HttpRequest("POST", "/dns-query", TYPED, data))


def test_the_alphabet_is_the_one_for_urls() -> None:
    data = query_bytes(number=0xFBFF)
    text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert "-_" in text
    assert parse_request(get(text)) == query(number=0xFBFF)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HttpRequest("PUT", "/dns-query", TYPED, query_bytes()), 405),
        (HttpRequest("POST", "/dns-query", (), query_bytes()), 415),
        (HttpRequest("POST", "/dns-query", TYPED, b""), 400),
        (HttpRequest("POST", "/dns-query", TYPED, b"x" * 60), 400),
        (HttpRequest("POST", "/dns-query", TYPED, bytes(MAX_QUERY + 1)), 413),
        (HttpRequest("GET", "/dns-query"), 400),
        (get(""), 400),
        (get("***"), 400),
        (get("A"), 400),
        (get("AAAA"), 400),
        (get("A" * 9000), 413),
    ],
)
def test_what_is_no_query_is_refused(request_: HttpRequest, status: int) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        parse_request(request_)
    assert refused.value.status == status


def test_some_names_are_not_looked_up_for_others() -> None:
    refused = (".ts.net", "secret.example.", "")
    assert is_refused("host.tail1.ts.net", refused)
    assert is_refused("ts.net", refused)
    assert is_refused("secret.example", refused)
    assert not is_refused("open.secret.example", refused)
    assert not is_refused("notts.net", refused)
    assert not is_refused("", refused)
