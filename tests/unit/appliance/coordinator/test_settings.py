from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from appliance.coordinator.errors import SettingsError
from appliance.coordinator.settings import (
    find_config,
    load_settings,
    parse_listen,
    parse_settings,
)
from appliance.exit_status import ExitStatus

URL = 'server_url = "https://vpn.example.org"\n'


def test_the_owners_file_goes_before_the_one_of_the_setup_page(tmp_path: Path) -> None:
    own, setup = tmp_path / "own.toml", tmp_path / "setup.toml"
    assert find_config(own, setup) == own, "which its error then names"
    setup.touch()
    assert find_config(own, setup) == setup
    own.touch()
    assert find_config(own, setup) == own


def test_an_address_is_enough_to_begin_with() -> None:
    settings = parse_settings(URL)
    assert (settings.host, settings.port) == ("vpn.example.org", 443)
    assert settings.listen_address == ("127.0.0.1", 8080)
    assert settings.derp.embedded
    assert settings.key_lifetime is None
    assert settings.relay_listen_address is None


def test_with_a_certificate_it_listens_everywhere() -> None:
    settings = parse_settings(
        'server_url = "https://vpn.example.org:8443/"\n[tls]\ncert = "/c"\nkey = "/k"\n'
    )
    assert settings.listen_address == ("", 8443)
    assert settings.url == "https://vpn.example.org:8443"


def test_plain_http_gives_the_relay_a_port_of_its_own() -> None:
    settings = parse_settings('server_url = "http://192.168.1.2:8080"')
    assert settings.relay_listen_address == ("", 8443)


def test_every_table_can_be_set() -> None:
    settings = parse_settings(
        URL
        + """
        node_key_days = 180
        [prefixes]
        v4 = "100.80.0.0/16"
        v6 = "fd7a:115c:a1e0:1::/64"
        [derp]
        embedded = false
        [[derp.regions]]
        id = 901
        code = "vps"
        nodes = [{host = "relay.example.org"}, {host = "b.example.org", port = 8443}]
        [dns]
        nameservers = ["9.9.9.9"]
        split = {"lan" = ["192.168.1.1"]}
        """
    )
    assert settings.key_lifetime == timedelta(days=180)
    assert settings.pool.v4 == IPv4Network("100.80.0.0/16")
    assert settings.derp.regions[0].nodes[1].port == 8443
    assert settings.dns.split == {"lan": ("192.168.1.1",)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "server_url"),
        ("server_url = 7", "server_url: Expected `str`, got `int`"),
        ("nonsense", "this is not TOML"),
        ('server_url = "vpn.example.org"', "not an address that nodes can log in to"),
        ('server_url = "https://a/path"', "must have no path"),
        (URL + "stat_dir = '/x'", "unknown key 'stat_dir'. Did you mean 'state_dir'?"),
        (URL + "zzz = 1", "unknown key 'zzz'. Known here: admin_group"),
        (URL + "[derp]\nembeded = true", "unknown key 'derp.embeded'. Did you mean 'embedded'?"),
        (
            URL + "[[derp.regions]]\nid=1\ncode='x'\nnodes=[{hst='y'}]",
            "unknown key 'derp.regions.nodes.hst'. Did you mean 'host'?",
        ),
        (URL + "[tls]\ncert = '/c'", "tls needs both cert and key"),
        (URL + "listen = 'x'", "is not an address and a port"),
        (URL + "listen = '::1:80'", "brackets"),
        (URL + "base_domain = 'example.org'", "contains the coordinator's own name"),
        (URL + "base_domain = 'a..b'", "is not a domain"),
        (URL + "[prefixes]\nv4 = '10.0.0.0/8'", "must lie inside 100.64.0.0/10"),
        (URL + "[prefixes]\nv4 = '100.64.0.1/16'", "prefixes:"),
        (URL + "[prefixes]\nv6 = 'fd7a:115c:a1e0::/120'", "at least as many addresses"),
        (URL + "[derp]\nembedded = false", "nodes need at least one relay"),
        (URL + "[derp]\nregion_id = 0", "is not a region's id"),
        (URL + "[derp]\nstun_listen = 'host:3478'", "must name an address of this machine"),
        (
            URL + "[[derp.regions]]\nid=900\ncode='x'\nnodes=[{host='y'}]",
            "two relay regions have the same id",
        ),
        (URL + "[[derp.regions]]\nid=901\ncode='x'\nnodes=[]", "has no nodes"),
        (URL + "node_key_days = -1", "must not be negative"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    assert sentence in str(caught.value)
    assert caught.value.status is ExitStatus.CONFIG_WRONG


def test_the_file_is_named_in_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no settings file"):
        load_settings(tmp_path / "none")
    (tmp_path / "c.toml").write_text("x = 1")
    with pytest.raises(SettingsError, match=r"c\.toml: unknown key"):
        load_settings(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":443", ("", 443)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::]:443", ("::", 443)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses_to_listen_on(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address
