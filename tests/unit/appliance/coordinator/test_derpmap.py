from appliance.coordinator.derpmap import derp_map_of, dns_of, relay_addresses
from appliance.coordinator.settings import parse_settings
from appliance.protocol.tailcfg import DerpNode, DerpRegion, Resolver, encode

TLS = '[tls]\ncert = "/c"\nkey = "/k"\n'


def regions(text: str, pin: str = "") -> dict[int, DerpRegion | None]:
    return derp_map_of(parse_settings(text), pin).regions or {}


def only_node(text: str, pin: str = "") -> DerpNode:
    region = regions(text, pin)[900]
    assert region is not None
    [node] = region.nodes or ()
    return node


def test_the_embedded_relay_is_where_the_coordinator_is() -> None:
    assert only_node('server_url = "https://vpn.example.org"\n' + TLS) == DerpNode(
        name="900a", region_id=900, host_name="vpn.example.org", derp_port=443, stun_port=3478
    )


def test_an_address_needs_no_dns_and_has_only_one_family() -> None:
    node = only_node('server_url = "https://203.0.113.5"\n' + TLS)
    assert (node.ipv4, node.ipv6) == ("203.0.113.5", "none")


def test_the_other_family_can_be_named() -> None:
    node = only_node('server_url = "https://203.0.113.5"\n[derp]\nipv6 = "2001:db8::5"')
    assert (node.ipv4, node.ipv6) == ("203.0.113.5", "2001:db8::5")


def test_beside_a_plain_coordinator_the_relay_has_its_own_port_and_pin() -> None:
    node = only_node('server_url = "http://192.168.1.2:8080"', "sha256-raw:00")
    assert (node.derp_port, node.cert_name) == (8443, "sha256-raw:00")


def test_stun_can_be_off() -> None:
    node = only_node('server_url = "https://vpn.example.org"\n[derp]\nstun_listen = ""')
    assert node.stun_port == -1


def test_other_relays_stand_beside_it_under_their_numbers() -> None:
    found = regions(
        """
        server_url = "https://vpn.example.org"
        [[derp.regions]]
        id = 901
        code = "vps"
        nodes = [{host = "a.example.org"}, {host = "b.example.org", stun_port = -1}]
        """
    )
    assert list(found) == [900, 901]
    region = found[901]
    assert region is not None
    assert [(n.name, n.region_id, n.stun_port) for n in region.nodes or ()] == [
        ("901a", 901, 3478),
        ("901b", 901, -1),
    ]


def test_the_map_on_the_wire_has_what_stock_clients_read() -> None:
    text = encode(derp_map_of(parse_settings('server_url = "https://vpn.example.org"')))
    assert text == (
        b'{"Regions":{"900":{"RegionID":900,"RegionCode":"home","RegionName":"Latchkey","Nodes":'
        b'[{"Name":"900a","RegionID":900,"HostName":"vpn.example.org","STUNPort":3478,'
        b'"DERPPort":443}]}}}'
    )


def test_magic_dns_answers_for_the_mesh_only() -> None:
    dns = dns_of(parse_settings('server_url = "https://vpn.example.org"'))
    assert dns.proxied
    assert dns.domains == ("mesh.internal",)
    assert dns.routes == {"mesh.internal": ()}
    assert dns.resolvers is None


def test_without_magic_dns_only_what_is_set_is_told() -> None:
    dns = dns_of(
        parse_settings(
            """
            server_url = "https://vpn.example.org"
            [dns]
            magic_dns = false
            nameservers = ["9.9.9.9"]
            """
        )
    )
    assert not dns.proxied
    assert (dns.domains, dns.routes) == (None, None)
    assert dns.resolvers == (Resolver(addr="9.9.9.9"),)


def test_the_addresses_of_relays_are_those_that_the_map_names() -> None:
    text = """
        server_url = "https://203.0.113.5"
        [[derp.regions]]
        id = 901
        code = "far"
        [[derp.regions.nodes]]
        host = "relay.example.org"
        ipv4 = "198.51.100.7"
        ipv6 = "none"
        """
    found = relay_addresses(derp_map_of(parse_settings(text), ""))
    assert {str(address) for address in found} == {"203.0.113.5", "198.51.100.7"}
