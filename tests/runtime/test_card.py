from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.card import (
    SCHEMA,
    Accuracy,
    Golden,
    InputSpec,
    ModelCard,
    Provenance,
    Quantization,
)
from fmx_runtime.errors import ModelFileError

SMALL = ModelCard(
    name="small",
    precision="int8",
    labels=("T-shirt/top", 'Schuh, "größer"'),
    input=InputSpec(
        height=28,
        width=20,
        channels=1,
        dtype="uint8",
        scale=0.1,
        offset=-1.0,
        resize="fit",
        polarity="light-on-dark",
    ),
    output="probabilities",
    provenance=Provenance(
        recipe="baseline",
        seed=3,
        data="ten pictures",
        data_digest="d1",
        keras_digest="d2",
        commit="unknown",
        versions={"keras": "3"},
    ),
    model_sha256="d3",
    model_bytes=12,
)

# the text of SMALL, for ever: files that carry it are in people's hands
SMALL_TEXT = (
    '{"accuracy":null,'
    '"card_sha256":"CHECKSUM",'
    '"golden":null,'
    '"input":{"channels":1,"dtype":"uint8","height":28,"offset":-1.0,"polarity":"light-on-dark",'
    '"resize":"fit","scale":0.1,"subject":"whole","width":20},'
    '"labels":["T-shirt/top","Schuh, \\"größer\\""],'
    '"model_bytes":12,"model_sha256":"d3","name":"small","output":"probabilities",'
    '"precision":"int8",'
    '"provenance":{"commit":"unknown","data":"ten pictures","data_digest":"d1",'
    '"keras_digest":"d2","recipe":"baseline","seed":3,"versions":{"keras":"3"}},'
    '"quantization":null,"schema":1,"task":"image-classification"}'
)


def with_checksum(text: str) -> str:
    """A card's text with the checksum of all the rest in its place."""
    without = text.replace('"card_sha256":"CHECKSUM",', "")
    return text.replace("CHECKSUM", hashlib.sha256(without.encode()).hexdigest())


def sealed(data: dict[str, Any]) -> str:
    """A card's data as the text that an honest writer makes of it, by the rule of the format."""
    rest = {key: value for key, value in data.items() if key != "card_sha256"}
    plain = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    checksum = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    return json.dumps(rest | {"card_sha256": checksum})


def changed(*path: str, value: Any) -> dict[str, Any]:
    """The small card's data with another value, or none for ``...``, at ``path``."""
    data: dict[str, Any] = json.loads(SMALL.to_json())
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
cards = st.builds(
    ModelCard,
    name=texts,
    precision=st.sampled_from(["float32", "int8"]),
    labels=st.lists(texts, max_size=5).map(tuple),
    input=st.builds(
        InputSpec,
        height=st.integers(1, 16_384),
        width=st.integers(1, 16_384),
        channels=st.sampled_from([1, 3]),
        dtype=st.sampled_from(["float32", "uint8"]),
        scale=st.floats(-1e30, 1e30),
        offset=st.floats(-1e30, 1e30),
        resize=st.sampled_from(["fit", "stretch"]),
        polarity=st.sampled_from(["light-on-dark", "any"]),
        subject=st.sampled_from(["whole", "garment"]),
    ),
    output=st.sampled_from(["probabilities", "logits"]),
    provenance=st.builds(
        Provenance,
        recipe=texts,
        seed=st.integers(),
        data=texts,
        data_digest=texts,
        keras_digest=texts,
        commit=texts,
        versions=st.dictionaries(texts, texts, max_size=3),
    ),
    model_sha256=texts,
    model_bytes=st.integers(),
    quantization=st.none()
    | st.builds(
        Quantization,
        scheme=texts,
        calibration=texts,
        split=texts,
        size=st.integers(),
        seed=st.integers(),
        digest=texts,
    ),
    accuracy=st.none()
    | st.builds(
        Accuracy, keras=numbers, file=numbers, agreement=numbers, data=texts, size=st.integers()
    ),
    golden=st.none()
    | st.builds(
        Golden,
        pixels=texts,
        outputs=st.lists(st.lists(numbers, max_size=3).map(tuple), max_size=3).map(tuple),
    ),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(cards)
def test_round_trip(card: ModelCard) -> None:
    """Whatever a card says, its text says the same; equal cards give equal text."""
    text = card.to_json()
    again = ModelCard.from_json(text)
    assert again == card
    assert again.to_json() == text


def test_text_is_pinned() -> None:
    """The format does not change: this card has this very text, and this text this card."""
    expected = with_checksum(SMALL_TEXT)
    assert SMALL.to_json() == expected
    assert ModelCard.from_json(expected) == SMALL
    assert hashlib.sha256(expected.encode()).hexdigest()[:16] == "68e603461ce3fb59"


def test_earlier_texts_are_read() -> None:
    """Files that were exported before a key came to the format are read as they were meant."""
    earlier = with_checksum(SMALL_TEXT.replace('"subject":"whole",', ""))
    assert hashlib.sha256(earlier.encode()).hexdigest()[:16] == "5f90f9dbaa53a0e0"
    assert ModelCard.from_json(earlier) == SMALL


def test_layout_of_the_text_does_not_matter() -> None:
    """The checksum is of what the card says: indented or in another order, it is the same card."""
    data = json.loads(SMALL.to_json())
    again = dict(reversed(data.items()))
    assert ModelCard.from_json(json.dumps(again, indent=3)) == SMALL


def test_unknown_keys_are_passed_over() -> None:
    """What a later version of the same schema adds is no obstacle, at any depth."""
    for path in (("later",), ("input", "later"), ("provenance", "later")):
        assert ModelCard.from_json(sealed(changed(*path, value={"a": [1.5, None]}))) == SMALL


def test_a_newer_schema_is_refused_with_a_remedy() -> None:
    """A card of a later schema says how to get a program that reads it, whatever else it holds."""
    for text in (
        sealed(changed("schema", value=SCHEMA + 1)),
        json.dumps({"schema": SCHEMA + 1}),
    ):
        with pytest.raises(ModelFileError, match=r"schema 2.* up to 1.*pip install -U fmx-runtime"):
            ModelCard.from_json(text)


@pytest.mark.parametrize(
    "path",
    [
        ("name",),
        ("precision",),
        ("labels",),
        ("input",),
        ("output",),
        ("provenance",),
        ("schema",),
        ("input", "height"),
        ("input", "scale"),
        ("input", "polarity"),
        ("provenance", "versions"),
    ],
)
def test_a_missing_key_is_named(path: tuple[str, ...]) -> None:
    """A card that lacks something says what."""
    with pytest.raises(ModelFileError, match=rf"^the model card lacks '{'.'.join(path)}'$"):
        ModelCard.from_json(sealed(changed(*path, value=...)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), None),
        (("name",), 3),
        (("precision",), "int4"),
        (("labels",), "abc"),
        (("labels",), {"0": "a"}),
        (("labels",), ["a", 1]),
        (("input",), []),
        (("input", "height"), "28"),
        (("input", "height"), 28.0),
        (("input", "height"), True),
        (("input", "channels"), 2),
        (("input", "channels"), 1.0),
        (("input", "dtype"), "int8"),
        (("input", "scale"), "0.1"),
        pytest.param(("input", "scale"), 10**400, id="too large for a float"),
        (("output",), "scores"),
        (("provenance", "versions"), {"keras": 3}),
        (("model_bytes",), "12"),
        (("quantization",), 8),
        (("golden",), {"pixels": "", "outputs": [["a"]]}),
        (("task",), "detection"),
        (("schema",), "1"),
        (("schema",), None),
        (("schema",), True),
    ],
)
def test_a_wrong_value_is_named(path: tuple[str, ...], value: Any) -> None:
    """A value of another type is said in one line with its place."""
    with pytest.raises(ModelFileError, match=rf"^the model card says .* at '{'.'.join(path)}") as e:
        ModelCard.from_json(sealed(changed(*path, value=value)))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e31, -1e308])
def test_a_scale_that_is_no_number(value: float) -> None:
    """A pixel means something that a float32 can hold, in a program and in a file."""
    with pytest.raises(ModelFileError, match="is no number"):
        replace(SMALL.input, offset=value)
    with pytest.raises(ModelFileError, match="is no number"):
        ModelCard.from_json(sealed(changed("input", "scale", value=value)))


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_no_picture_has(size: int) -> None:
    """An input without pixels is refused, in a program and in a file."""
    with pytest.raises(ModelFileError, match=rf"input size 20x{size} is not positive"):
        replace(SMALL.input, height=size)
    with pytest.raises(ModelFileError, match=rf"input size {size}x28 is not positive"):
        ModelCard.from_json(sealed(changed("input", "width", value=size)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("labels",), ["T-shirt/top", 'Schuh, "kleiner"']),
        (("input", "scale"), 0.2),
        (("model_bytes",), 13),
        (("card_sha256",), "0" * 64),
        (("card_sha256",), None),
        (("card_sha256",), ...),
        (("later",), 1),
    ],
)
def test_a_changed_card_is_refused(path: tuple[str, ...], value: Any) -> None:
    """A card that says anything else than what was written is not believed."""
    with pytest.raises(ModelFileError, match=r"model card was changed.*export again"):
        ModelCard.from_json(json.dumps(changed(*path, value=value)))


@given(st.text() | json_values.map(json.dumps))
def test_any_text(text: str) -> None:
    """Arbitrary text, and arbitrary JSON, is a ModelFileError."""
    with pytest.raises(ModelFileError) as caught:
        ModelCard.from_json(text)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from([(key,) for key in json.loads(SMALL.to_json())])
    | st.sampled_from([("input", key) for key in json.loads(SMALL.to_json())["input"]])
    | st.sampled_from([("provenance", key) for key in json.loads(SMALL.to_json())["provenance"]]),
    json_values,
)
def test_any_value(path: tuple[str, ...], value: Any) -> None:
    """An honestly sealed card with an arbitrary value anywhere is read, or a ModelFileError."""
    try:
        card = ModelCard.from_json(sealed(changed(*path, value=value)))
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert card.labels is not None


@pytest.mark.parametrize("depth", [900, 950, 960, 970, 980, 990, 100_000])
def test_deep_json(depth: int) -> None:
    """However deep an unknown value is nested, the card is read or a ModelFileError."""
    deep = "[" * depth + "]" * depth
    with pytest.raises(ModelFileError, match=r"nested too deeply|was changed"):
        ModelCard.from_json(f'{SMALL.to_json()[:-1]},"later":{deep}}}')


def test_cards_do_not_change() -> None:
    """A card is a value: nobody who is handed one can change it for the others."""
    with pytest.raises(FrozenInstanceError):
        SMALL.name = "large"  # type: ignore[misc]
    assert SMALL.input.shape == (28, 20, 1)
