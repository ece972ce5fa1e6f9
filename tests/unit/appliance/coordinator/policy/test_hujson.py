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
        ("\ufeff{}", {}),
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2, /* three */ ]", [1, 2]),
        ('// first\n{"a": [1,],} // last', {"a": [1]}),
        ('{"a": "// no comment"}', {"a": "// no comment"}),
        ('{"a": "/* no */ \\" // comment"}', {"a": '/* no */ " // comment'}),
        ('{"a": "x,]",}', {"a": "x,]"}),
        ("/**/null/***/", None),
        ("[1,// why\n]", [1]),
        ("[] // 👩\u200d🔧 mends it", []),
        ("[-1.5e3, true, false]", [-1500.0, True, False]),
    ],
)
def test_comments_and_trailing_commas_are_allowed(text: str, value: object) -> None:
    assert parse_hujson(text).value == value


@pytest.mark.parametrize(
    ("text", "line", "column", "sentence"),
    [
        ("", 1, 1, "the policy ends where a value should be"),
        ("{", 1, 2, "a key in double quotes"),
        ('{"a": 1,,}', 1, 9, "a key in double quotes"),
        ("[,]", 1, 2, "this is not a value"),
        ("[\n  1\n  2]", 3, 3, "a comma or ]"),
        ("\n /* open", 2, 2, "has no end"),
        ("{'a': 1}", 1, 2, "a key in double quotes"),
        ('{"a" 1}', 1, 6, "a : should be here"),
        ('{"a": oops}', 1, 7, "texts stand in double quotes"),
        ('/* é */ {"a": 01}', 1, 15, "this is not a value"),
        ('["\ud800"]', 1, 2, "has no end, or"),
        ('["\\x"]', 1, 2, "has no end, or"),
        ('["open]', 1, 2, "has no end, or"),
        ("{} {}", 1, 4, "follows the end"),
        ('{"acls": [],\n "acls": []}', 2, 2, "'acls' stands twice"),
        ("{} // \u202e }", 1, 7, "U+202E, which does not show"),
        ("{} // \x1b[2J", 1, 7, "U+001B"),
    ],
)
def test_anything_else_is_an_error_with_its_place(
    text: str, line: int, column: int, sentence: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_hujson(text)
    assert sentence in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_value_is_found_again_by_its_path() -> None:
    document = parse_hujson('{\n  // who\n  "acls": [ 1,\n    {"dst": "x"} ] }')
    assert str(document.error(("acls", 1, "dst"), "no.")) == "line 4, column 13: no."
    around = document.error(("acls", 1, "src", 0), "no.")
    assert (around.line, around.column) == (4, 5)


def test_size_and_depth_have_limits() -> None:
    with pytest.raises(PolicyError, match="1 MiB"):
        parse_hujson(" " * (MAX_BYTES + 1))
    with pytest.raises(PolicyError, match="deeper"):
        parse_hujson("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_hujson(nested).value == json.loads(nested)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_every_json_document_is_hujson(value: object) -> None:
    assert parse_hujson(json.dumps(value)).value == value
    assert parse_hujson(json.dumps(value, indent=1)).value == value
