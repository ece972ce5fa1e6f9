import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.hujson import MAX_BYTES, MAX_DEPTH, parse_hujson


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2, /* three */ ]", [1, 2]),
        ('// first\n{"a": [1,],} // last', {"a": [1]}),
        ('{"a": "// no comment"}', {"a": "// no comment"}),
        ('{"a": "/* no */ \\" // comment"}', {"a": '/* no */ " // comment'}),
        ('{"a": "x,]",}', {"a": "x,]"}),
        ("/**/null/***/", None),
        ("[1,// why\n]", [1]),
    ],
)
def test_comments_and_trailing_commas_are_allowed(text: str, value: object) -> None:
    assert parse_hujson(text) == value


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1,,}', "[,]", "/* open", "{'a': 1}", '{"a" 1}', '"\ud800"', "[1 2]"]
)
def test_anything_else_is_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_hujson(text)


def test_a_position_in_an_error_is_that_of_the_text() -> None:
    with pytest.raises(PolicyError, match="byte 26"):
        parse_hujson('/* ten more bytes */{"a": oops}')


def test_size_and_depth_have_limits() -> None:
    with pytest.raises(PolicyError, match="1 MiB"):
        parse_hujson(" " * (MAX_BYTES + 1))
    with pytest.raises(PolicyError, match="deeper"):
        parse_hujson("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert parse_hujson("[" * MAX_DEPTH + "]" * MAX_DEPTH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_every_json_document_is_hujson(value: object) -> None:
    assert parse_hujson(json.dumps(value)) == value
    assert parse_hujson(json.dumps(value, indent=1, ensure_ascii=False)) == value
