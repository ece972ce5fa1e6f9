import pytest

from appliance.controlclient.config import ControlUrl, NodeReport, UrlError
from appliance.protocol.keys import DiscoPublic
from appliance.protocol.tailcfg import Hostinfo, NetInfo


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "prefix", "authority"),
    [
        ("https://example.com", "https", "example.com", 443, "", "example.com"),
        ("https://example.com/", "https", "example.com", 443, "", "example.com"),
        ("https://Example.com:123", "https", "example.com", 123, "", "example.com:123"),
        ("http://192.168.2.3", "http", "192.168.2.3", 80, "", "192.168.2.3"),
        ("http://[fd00::1]:8080/mesh/", "http", "fd00::1", 8080, "/mesh", "[fd00::1]:8080"),
        (" https://example.com ", "https", "example.com", 443, "", "example.com"),
    ],
)
def test_a_url_is_read(
    text: str, scheme: str, host: str, port: int, prefix: str, authority: str
) -> None:
    url = ControlUrl.parse(text)
    assert url == ControlUrl(scheme, host, port, prefix)
    assert url.authority == authority
    assert ControlUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https://example.com:99999",
        "https://example.com:0",
        "https://user:secret@example.com",
        "https://example.com?x=1",
        "https://exam\nple.com",
        "https://[::1",
    ],
)
def test_what_is_no_coordinators_url_is_refused(text: str) -> None:
    with pytest.raises(UrlError, match="Write it as"):
        ControlUrl.parse(text)


def test_the_network_is_part_of_the_nodes_description() -> None:
    report = NodeReport(
        Hostinfo(hostname="box"), DiscoPublic(bytes(32)), net_info=NetInfo(preferred_derp=9)
    )
    assert report.full_hostinfo.hostname == "box"
    assert report.full_hostinfo.net_info == NetInfo(preferred_derp=9)
