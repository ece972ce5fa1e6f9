import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.errors import InvalidError
from appliance.coordinator.naming import (
    check_label,
    check_tag,
    check_user_name,
    label_from_hostname,
    unique_label,
)


@pytest.mark.parametrize(
    ("hostname", "label"),
    [
        ("Box1", "box1"),
        ("box.lan.example.org", "box"),
        ("Anna's MacBook Pro", "anna-s-macbook-pro"),
        ("", "node"),
        ("...", "node"),
        ("日本", "node"),
        ("-a-", "a"),
        ("x" * 80, "x" * 63),
    ],
)
def test_a_host_name_becomes_a_label(hostname: str, label: str) -> None:
    assert label_from_hostname(hostname) == label


@given(st.text())
def test_whatever_a_device_calls_itself_its_name_is_a_label(hostname: str) -> None:
    label = label_from_hostname(hostname)
    assert check_label(label) == label


def test_a_taken_name_gets_the_first_free_number() -> None:
    assert unique_label("box", {"box", "box-1", "box-3"}) == "box-2"


def test_a_numbered_name_is_still_short_enough() -> None:
    long = "a" * 63
    assert check_label(unique_label(long, {long})) == "a" * 61 + "-1"


@pytest.mark.parametrize("name", ["", "a.b", "-a", "a-", "a b", "ü", "x" * 64, "../etc"])
def test_an_admin_cannot_choose_what_is_no_label(name: str) -> None:
    with pytest.raises(InvalidError, match="cannot be a node's name"):
        check_label(name)


@pytest.mark.parametrize("name", ["alice", "alice@example.org", "a.b+c", "bob@"])
def test_user_names_look_like_logins(name: str) -> None:
    assert check_user_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a@b@c", "x" * 129, "<b>"])
def test_other_user_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="cannot be a user's name"):
        check_user_name(name)


def test_tags_have_their_prefix() -> None:
    assert check_tag("tag:home-1") == "tag:home-1"
    for wrong in ("home", "tag:", "tag:1a", "tag:a b"):
        with pytest.raises(InvalidError, match="is not a tag"):
            check_tag(wrong)
