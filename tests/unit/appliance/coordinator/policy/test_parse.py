import json
from ipaddress import ip_network

import pytest

from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.parse import parse_policy
from appliance.coordinator.policy.rules import AutoApprovers, Rule, Target
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


def only_acl(src: str = "*", dst: str = "*:*", **entry: object) -> Rule:
    rules = parse_policy(policy(src, dst, **entry)).rules
    assert rules is not None
    return rules[0]


def grants(*entries: dict) -> tuple[Rule, ...] | None:
    return parse_policy(json.dumps({"grants": entries})).rules


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
    assert parse_policy("{}").rules is None
    assert parse_policy('{"groups": {}}').rules is None
    assert parse_policy('{"acls": []}').rules == ()
    assert parse_policy('{"grants": []}').rules == ()


def test_keys_may_be_written_in_any_case() -> None:
    written = '{"ACLs": [{"Action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
    assert parse_policy(written).rules == (only_acl(),)


def test_a_grant_is_a_rule_for_each_protocol() -> None:
    entry = {"src": ["*"], "dst": ["10.0.0.9"], "ip": ["tcp:80", "53", "tcp:90-99", "icmp:*"]}
    where = Network(ip_network("10.0.0.9"))
    http = (PortRange(first=80, last=80), PortRange(first=90, last=99))
    assert grants(entry) == (
        Rule((Anyone(),), (Target(where, http),), (6,)),
        Rule((Anyone(),), (Target(where, (PortRange(first=53, last=53),)),), ()),
        Rule((Anyone(),), (Target(where, (ANY_PORT,)),), (1,)),
    )


def test_auto_approvers_are_read() -> None:
    text = """{
      "tagOwners": {"tag:router": ["alice@"]},
      "autoApprovers": {
        "routes": {"10.0.0.0/8": ["tag:router", "alice@"]}, "exitNode": ["autogroup:tagged"],
      },
    }"""
    said = parse_policy(text)
    assert said.rules is None
    assert said.approvers == AutoApprovers(
        {ip_network("10.0.0.0/8"): (Tag("tag:router"), People(frozenset({"alice"})))},
        (Auto.TAGGED,),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "must be an object"),
        ('{"ssh": []}', "'ssh', which this version does not understand"),
        ('{"acls": [], "ACLS": []}', "'ACLS' stands twice"),
        ('{"acls": [{"src": [], "SRC": []}]}', "'SRC' stands twice"),
        ('{"acl": []}', "'acl', which"),
        ('{"acls": {}}', "acls does not fit"),
        ('{"acls": [{"action": "accept"}]}', "acls does not fit"),
        ('{"groups": {"admins": []}, "acls": []}', "write group:NAME"),
        ('{"groups": {"group:a": ["group:b"]}, "acls": []}', "is not a user"),
        ('{"hosts": {"x": "y"}, "acls": []}', "is no host"),
        ('{"hosts": {"a@b": "10.0.0.1"}}', "is not a host's name"),
        ('{"hosts": {"*": "10.0.0.1"}}', "is not a host's name"),
        ('{"hosts": {"x": "fe80::1%eth0"}}', "is no host"),
        ('{"tagOwners": {"server": []}}', "write tag:NAME"),
        ('{"tagOwners": {"tag:a": "alice@"}}', "tagOwners does not fit"),
        ('{"autoApprovers": {"exitNodes": []}}', "autoApprovers does not fit"),
        ('{"autoApprovers": {"routes": {"lan": []}}}', "is no host"),
        ('{"autoApprovers": {"exitNode": ["*"]}}', "cannot approve"),
        ('{"grants": [{"src": ["*"], "dst": ["*"]}]}', "a grant needs ip"),
        ('{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["icmp:7"]}]}', "icmp has no ports"),
        ('{"grants": [{"src": ["*"], "dst": ["*"], "ip": [":7"]}]}', "names no protocol"),
        ('{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "via": []}]}', "unknown field"),
        ('{"grants": [{"src": ["*"], "dst": ["::/0"], "ip": ["*"]}]}', "autogroup:internet"),
        ('{"grants": [{"src": ["*"], "dst": ["autogroup:self"], "ip": ["*"]}]}', "by users"),
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


def test_an_error_says_where() -> None:
    text = """{
  // who may print
  "acls": [
    {"action": "accept", "src": ["*"], "dst": ["10.0.0.1:631"]},
    {"action": "accept", "src": ["*"], "dst": ["10.0.0.1:631", "10.0.0.2:ipp"]},
  ],
}"""
    with pytest.raises(PolicyError, match=r"^line 5, column 64: port range 'ipp': write") as caught:
        parse_policy(text)
    assert (caught.value.line, caught.value.column) == (5, 64)
    assert caught.value.code == "invalid"


def test_a_hostile_name_makes_a_short_message() -> None:
    for text in (policy("a" * 100_000, "*:*"), json.dumps({"x" * 100_000: 1})):
        with pytest.raises(PolicyError) as caught:
            parse_policy(text)
        assert len(str(caught.value)) < 250


ESCAPE = "\x1b[2J\u202e\n"


@pytest.mark.parametrize(
    "text",
    [
        policy(f"tag:{ESCAPE}", "*:*"),
        policy("*", ESCAPE),
        policy("*", f"*:{ESCAPE}"),
        policy("*", "*:*", proto=ESCAPE),
        policy("*", "*:*", **{ESCAPE: 1}),
        json.dumps({ESCAPE: 1}),
        json.dumps({"groups": {ESCAPE: []}}),
        json.dumps({"groups": {"group:a": [ESCAPE]}}),
        json.dumps({"hosts": {ESCAPE: "10.0.0.1"}}),
        json.dumps({"grants": [{"src": ["*"], "dst": ["*"], "ip": [f"{ESCAPE}:1"]}]}),
    ],
)
def test_what_a_terminal_would_obey_is_not_in_a_message(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert str(caught.value).isprintable()
