from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.support import json_codec


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """An object inside another one."""

    size: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Everything:
    """One field of each kind that the codec knows."""

    text: str
    whole: int
    real: float
    yes: bool
    choice: Literal["a", 3]
    row: tuple[int, ...]
    table: dict[str, float]
    leaf: Leaf
    perhaps: Leaf | None = None
    rows: tuple[tuple[Leaf, ...], ...] = ()


WHOLE: dict[str, Any] = {
    "text": "x",
    "whole": 1,
    "real": 0.5,
    "yes": True,
    "choice": "a",
    "row": [1, 2],
    "table": {"k": 0.1},
    "leaf": {"size": 2.5},
}

numbers = st.floats(allow_nan=False, allow_infinity=False)
leaves = st.builds(Leaf, size=numbers)
everything = st.builds(
    Everything,
    text=st.text(),
    whole=st.integers(),
    real=numbers,
    yes=st.booleans(),
    choice=st.sampled_from(["a", 3]),
    row=st.lists(st.integers()).map(tuple),
    table=st.dictionaries(st.text(), numbers),
    leaf=leaves,
    perhaps=st.none() | leaves,
    rows=st.lists(st.lists(leaves, max_size=2).map(tuple), max_size=2).map(tuple),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(everything, st.sampled_from([None, 0, 2]))
def test_round_trip(value: Everything, indent: int | None) -> None:
    """Whatever is encoded is decoded to an equal value, indented or not."""
    text = json_codec.encode(value, indent=indent)
    assert json_codec.decode(Everything, json_codec.parse(text)) == value


def test_text_is_pinned() -> None:
    """Keys are sorted, there are no spaces, and letters beyond ASCII are not escaped."""
    expected = (
        '{"choice":3,"leaf":{"size":1.0},"perhaps":null,"real":0.1,"row":[1],"rows":[[]],'
        '"table":{"a":2.0,"b":1.0},"text":"Stiefel für Öl","whole":7,"yes":false}'
    )
    value = Everything(
        text="Stiefel für Öl",
        whole=7,
        real=0.1,
        yes=False,
        choice=3,
        row=(1,),
        table={"b": 1.0, "a": 2.0},
        leaf=Leaf(),
        rows=((),),
    )
    assert json_codec.encode(value) == expected


def test_integers_are_accepted_as_floats() -> None:
    """A float may be written without a decimal point."""
    value = json_codec.decode(Everything, WHOLE | {"real": 3})
    assert value.real == 3.0
    assert isinstance(value.real, float)


def test_unknown_keys_are_ignored() -> None:
    """A key that a later version added is ignored at any depth."""
    more = WHOLE | {"later": [1], "leaf": {"size": 2.5, "later": None}}
    assert json_codec.decode(Everything, more) == json_codec.decode(Everything, WHOLE)


@pytest.mark.parametrize("key", ["text", "whole", "real", "yes", "choice", "row", "table", "leaf"])
def test_a_missing_key_is_named(key: str) -> None:
    """A key without a default is required."""
    less = {name: value for name, value in WHOLE.items() if name != key}
    with pytest.raises(json_codec.CodecError, match=f"^lacks '{key}'$"):
        json_codec.decode(Everything, less)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": 3}, "has 3 at 'text', expected str"),
        ({"text": None}, "has None at 'text', expected str"),
        ({"whole": "3"}, "has '3' at 'whole', expected int"),
        ({"whole": 3.0}, "has 3.0 at 'whole', expected int"),
        ({"whole": True}, "has True at 'whole', expected int"),
        ({"real": "0.5"}, "has '0.5' at 'real', expected float"),
        ({"real": False}, "has False at 'real', expected float"),
        ({"real": 10**400}, "at 'real', expected float"),
        ({"real": float("nan")}, "has nan at 'real', expected float"),
        ({"table": {"a": float("inf")}}, "has inf at 'table.a', expected float"),
        ({"yes": 1}, "has 1 at 'yes', expected bool"),
        ({"choice": "b"}, "has 'b' at 'choice', expected typing.Literal['a', 3]"),
        ({"choice": 3.0}, "has 3.0 at 'choice'"),
        ({"choice": ["a"]}, "has ['a'] at 'choice'"),
        ({"row": [1, "2"]}, "has '2' at 'row[1]', expected int"),
        ({"row": {"0": 1}}, "has {'0': 1} at 'row'"),
        ({"row": "12"}, "has '12' at 'row'"),
        ({"table": {"a": "b"}}, "has 'b' at 'table.a', expected float"),
        ({"table": {"a\nb": "b"}}, r"at 'table.a\nb'"),
        ({"table": []}, "has [] at 'table'"),
        ({"leaf": 3}, "has 3 at 'leaf', expected Leaf"),
        ({"leaf": {"size": "2"}}, "has '2' at 'leaf.size', expected float"),
        ({"perhaps": 0}, "has 0 at 'perhaps', expected Leaf"),
        ({"rows": [[{}], [{}, {"size": None}]]}, "has None at 'rows[1][1].size', expected float"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    """The message has a wrong value, its place and the expected type, in one line."""
    with pytest.raises(json_codec.CodecError) as caught:
        json_codec.decode(Everything, WHOLE | change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_long_values_are_cut() -> None:
    """A message does not repeat a whole document."""
    with pytest.raises(json_codec.CodecError) as caught:
        json_codec.decode(Everything, WHOLE | {"whole": [["x" * 1000] * 1000] * 1000})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("depth", [10, 900, 960, 980, 990, 1000, 100_000])
def test_deeply_nested_values(depth: int) -> None:
    """A wrong value nested at any depth is a CodecError, not a RecursionError."""
    text = json.dumps(WHOLE)[:-1] + ', "whole": ' + "[" * depth + "]" * depth + "}"
    with pytest.raises(json_codec.CodecError, match=r"nested too deeply|at 'whole', expected int"):
        json_codec.decode(Everything, json_codec.parse(text))


@pytest.mark.parametrize("text", ["", "{", "nope", '{"a": }', "\x00", "1" * 5000, '{"a": "\n"}'])
def test_other_text_is_refused(text: str) -> None:
    """Text that is not JSON is refused."""
    with pytest.raises(json_codec.CodecError, match="is not JSON: "):
        json_codec.parse(text)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_cannot_hold(number: float) -> None:
    """NaN and infinity are a CodecError when writing and when reading, at any depth."""
    with pytest.raises(json_codec.CodecError, match="holds NaN or infinity, which JSON cannot"):
        json_codec.encode(Leaf(size=number))
    with pytest.raises(json_codec.CodecError, match="holds NaN or infinity, which JSON cannot"):
        json_codec.dump({"a": [{"b": number}]})
    text = json.dumps({"a": [{"b": number}]})  # as Python writes them
    with pytest.raises(json_codec.CodecError, match=r"is not JSON: -?(NaN|Infinity) is not a JSON"):
        json_codec.parse(text)


@pytest.mark.parametrize("text", ["[]", "3", '"text"', "null", "true"])
def test_other_values_are_refused(text: str) -> None:
    """JSON that is not an object is refused."""
    with pytest.raises(json_codec.CodecError, match="is not a JSON object"):
        json_codec.parse(text)


@given(st.text() | json_values.map(json.dumps))
def test_arbitrary_text(text: str) -> None:
    """Arbitrary text, and arbitrary JSON, is an object or a CodecError."""
    with contextlib.suppress(json_codec.CodecError):
        assert isinstance(json_codec.parse(text), dict)


@given(st.sampled_from([*WHOLE, "perhaps", "rows"]), json_values)
def test_arbitrary_values(key: str, value: Any) -> None:
    """An arbitrary value in any place is decoded unchanged, or is a CodecError."""
    try:
        decoded = json_codec.decode(Everything, WHOLE | {key: value})
    except json_codec.CodecError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    again = json_codec.decode(Everything, json_codec.parse(json_codec.encode(decoded)))
    assert json_codec.encode(again) == json_codec.encode(decoded)
