from dataclasses import replace

from appliance.dns.answer import Answered, AskedDirectly, Fate, Forwarded, decide
from appliance.dns.config import STUB_V4, DnsConfig, ExitNode, Nobody
from appliance.protocol.dns import rcode_of
from tests.support.dnsmessages import query

CONFIG = DnsConfig(
    "latchkey0",
    0x80000,
    (STUB_V4,),
    upstream=ExitNode("home", ()),
    direct_names=frozenset({"mesh.example.org"}),
)


def fate_of(name: str, kind: int = 1, config: DnsConfig = CONFIG) -> Fate:
    return decide(config, query(name, kind))


def test_a_name_is_asked_of_the_exit_node() -> None:
    assert fate_of("web.example") == Forwarded()


def test_the_coordinators_addresses_are_asked_past_the_tunnel_and_nothing_else_of_it() -> None:
    assert fate_of("Mesh.Example.org") == AskedDirectly()
    assert fate_of("mesh.example.org", 28) == AskedDirectly()
    assert fate_of("mesh.example.org", 65) == Forwarded()
    assert fate_of("www.mesh.example.org") == Forwarded()


def test_without_anybody_to_ask_only_the_coordinator_is_found() -> None:
    nobody = replace(CONFIG, upstream=Nobody("The exit node is gone."))
    fate = fate_of("web.example", config=nobody)
    assert isinstance(fate, Answered)
    assert rcode_of(fate.reply) == 2
    assert fate_of("mesh.example.org", config=nobody) == AskedDirectly()


def test_onion_names_are_never_looked_up() -> None:
    fate = fate_of("secret.onion")
    assert isinstance(fate, Answered)
    assert rcode_of(fate.reply) == 3
