"""Where values stand in a JSON text: the same values as the standard reader finds, and every other byte kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.gateway.batches import spans
from tokenpool.kernel.errors import InvalidInput

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_members_are_those_that_json_finds(document: dict[str, object], indent: object, ascii_only: bool) -> None:
    """Whatever the white space and the escapes: each span reads as its value, and the object ends where it ends."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)  # type: ignore[arg-type]

    found, end = spans.members(text, 0)

    assert document == {name: json.loads(text[start:stop]) for name, (start, stop) in found.items()}
    assert len(text) == end


def test_one_value_is_replaced_and_the_rest_is_as_it_came() -> None:
    """Spaces, escapes, the order, numbers as written."""
    text = '{ "a" : 1.50,\n"b":"\\u0041" , "c":[ 1 ]}'
    found, _ = spans.members(text, 0)

    assert '{ "a" : 1.50,\n"b":"new" , "c":[ 1 ]}' == spans.replaced(text, [(found["b"], '"new"')])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', "{1:2}", '{"a":1,"a":2}', '{"a":NaN}', '{,"a":1}'],
)
def test_what_is_no_object_is_refused(text: str) -> None:
    """Cut off, without names, with one twice, with what is not JSON."""
    with pytest.raises(InvalidInput):
        spans.members(text, 0)
