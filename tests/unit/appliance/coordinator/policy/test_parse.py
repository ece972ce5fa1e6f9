import json
from ipaddress import ip_network

import pytest

from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.parse import Acl, Target, parse_policy
from appliance.coordinator.policy.selectors import Anyone, Auto, Network, People, Tag
from appliance.protocol.tailcfg import ANY_PORT, PortRange


def policy(src: str, dst: str, **entry: object) -> str:
    return json.dumps(
        {
            "groups": {"group:admins": ["alice@", "bob@example.org"]},
            "hosts": {"printer": "192.168.1.20", "lan": "192.168.1.7/24"},
            "tagOwners": {"tag:server": ["alice@"]},
            "acls": [{"action": "accept", "src": [src], "dst": [dst], **entry}],
        }
    )


def only_acl(src: str = "*", dst: str = "*:*", **entry: object) -> Acl:
    acls = parse_policy(policy(src, dst, **entry))
    assert acls is not None
    return acls[0]


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("*", Anyone()),
        ("alice@", People(frozenset({"alice"}))),
        ("bob@example.org", People(frozenset({"bob@example.org"}))),
        ("group:admins", People(frozenset({"alice", "bob@example.org"}))),
        ("tag:server", Tag("tag:server")),
        ("printer", Network(ip_network("192.168.1.20"))),
        ("lan", Network(ip_network("192.168.1.0/24"))),
        ("100.64.0.1", Network(ip_network("100.64.0.1/32"))),
        ("10.0.0.0/8", Network(ip_network("10.0.0.0/8"))),
        ("autogroup:member", Auto.MEMBER),
        ("autogroup:tagged", Auto.TAGGED),
    ],
)
def test_sources(text: str, selector: object) -> None:
    assert only_acl(src=text).sources == (selector,)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("*:*", Target(Anyone(), (ANY_PORT,))),
        ("tag:server:22", Target(Tag("tag:server"), (PortRange(first=22, last=22),))),
        (
            "printer:80,443,1000-2000",
            Target(
                Network(ip_network("192.168.1.20")),
                (
                    PortRange(first=80, last=80),
                    PortRange(first=443, last=443),
                    PortRange(first=1000, last=2000),
                ),
            ),
        ),
        (
            "fd7a::1:80",
            Target(Network(ip_network("fd7a::1")), (PortRange(first=80, last=80),)),
        ),
        ("[fd7a::1]:*", Target(Network(ip_network("fd7a::1")), (ANY_PORT,))),
        ("[fd7a::]/48:*", Target(Network(ip_network("fd7a::/48")), (ANY_PORT,))),
        ("autogroup:internet:*", Target(Auto.INTERNET, (ANY_PORT,))),
        ("autogroup:self:*", Target(Auto.SELF, (ANY_PORT,))),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert only_acl(dst=text).targets == (target,)


@pytest.mark.parametrize(
    ("text", "numbers"), [("", ()), ("tcp", (6,)), ("icmp", (1,)), ("47", (47,)), ("gre", (47,))]
)
def test_protocols(text: str, numbers: tuple[int, ...]) -> None:
    assert only_acl(proto=text).protocols == numbers


def test_notes_in_an_entry_are_ignored() -> None:
    assert only_acl(**{"#why": "because"}) == only_acl()


def test_without_acls_everything_is_allowed_but_an_empty_list_allows_nothing() -> None:
    assert parse_policy("{}") is None
    assert parse_policy('{"groups": {}}') is None
    assert parse_policy('{"acls": []}') == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "must be an object"),
        ('{"grants": []}', "'grants', which this version does not understand"),
        ('{"acl": []}', "'acl', which"),
        ('{"acls": {}}', "acls does not fit"),
        ('{"acls": [{"action": "accept"}]}', "an entry of acls does not fit"),
        ('{"groups": {"admins": []}, "acls": []}', "write group:admins"),
        ('{"groups": {"group:a": ["group:b"]}, "acls": []}', "is not a user"),
        ('{"hosts": {"x": "y"}, "acls": []}', "is no host"),
        (policy("*", "*:*", action="deny"), "only accept is"),
        (policy("*", "*:*", ports=1), "does not fit"),
        (policy("*", "*"), "has no ports"),
        (policy("*", "autogroup:self"), "has no ports"),
        (policy("*", "*:0"), "port range '0'"),
        (policy("*", "*:ssh"), "port range 'ssh'"),
        (policy("*", "*:90-80"), "ends before it begins"),
        (policy("*", "*:65536"), "port range '65536'"),
        (policy("*", "*:22", proto="icmp"), "has no ports"),
        (policy("*", "*:*", proto="nonsense"), "is not a protocol"),
        (policy("*", "*:*", proto="06"), "is not a protocol"),
        (policy("*", "*:*", proto="256"), "is not a protocol"),
        (policy("group:none", "*:*"), "there is no group 'group:none'"),
        (policy("tag:none", "*:*"), "is not in tagOwners"),
        (policy("nobody", "*:*"), "users are written with an @"),
        (policy("autogroup:admin", "*:*"), "is not known"),
        (policy("autogroup:self", "*:*"), "can only be a destination"),
        (policy("autogroup:internet", "*:*"), "can only be a destination"),
        (policy("tag:server", "autogroup:self:*"), "autogroup:self can only be reached by"),
        (policy("lan", "autogroup:self:*"), "autogroup:self can only be reached by"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert sentence in str(caught.value)
