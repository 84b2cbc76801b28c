from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file import metadata
from fmx_runtime.model_file.metadata import (
    SCHEMA,
    Accuracy,
    InputSpec,
    ModelMetadata,
    Provenance,
    Quantization,
)

SMALL = ModelMetadata(
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
        data="ten images",
        data_digest="d1",
        keras_digest="d2",
        commit="unknown",
        versions={"keras": "3"},
    ),
    model_sha256="d3",
    model_bytes=12,
)

# the text of SMALL in schema 2, which does not change any more
SMALL_TEXT = (
    '{"accuracy":null,'
    '"input":{"channels":1,"dtype":"uint8","height":28,"offset":-1.0,"polarity":"light-on-dark",'
    '"resize":"fit","scale":0.1,"subject":"whole","width":20},'
    '"labels":["T-shirt/top","Schuh, \\"größer\\""],'
    '"metadata_sha256":"CHECKSUM",'
    '"model_bytes":12,"model_sha256":"d3","name":"small","output":"probabilities",'
    '"precision":"int8",'
    '"provenance":{"commit":"unknown","data":"ten images","data_digest":"d1",'
    '"keras_digest":"d2","recipe":"baseline","seed":3,"versions":{"keras":"3"}},'
    '"quantization":null,"schema":2,"task":"image-classification","test_vectors":null}'
)


def with_checksum(text: str) -> str:
    """The text with the checksum of all the rest in its place."""
    without = text.replace('"metadata_sha256":"CHECKSUM",', "")
    return text.replace("CHECKSUM", hashlib.sha256(without.encode()).hexdigest())


def sealed(data: dict[str, Any]) -> str:
    """Metadata as text with the right checksum, written by the rule of the format."""
    rest = {key: value for key, value in data.items() if key != "metadata_sha256"}
    plain = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    checksum = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    return json.dumps(rest | {"metadata_sha256": checksum})


def changed(*path: str, value: Any) -> dict[str, Any]:
    """The small metadata as JSON data with another value at ``path``, or none for ``...``."""
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
any_metadata = st.builds(
    ModelMetadata,
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
    test_vectors=st.none()
    | st.builds(
        metadata.TestVectors,
        pixels=texts,
        outputs=st.lists(st.lists(numbers, max_size=3).map(tuple), max_size=3).map(tuple),
    ),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(any_metadata)
def test_round_trip(original: ModelMetadata) -> None:
    """Metadata are equal after writing and reading; equal metadata give equal text."""
    text = original.to_json()
    again = ModelMetadata.from_json(text)
    assert again == original
    assert again.to_json() == text


def test_text_is_pinned() -> None:
    """The format does not change: these metadata have this text, and the text these metadata."""
    expected = with_checksum(SMALL_TEXT)
    assert SMALL.to_json() == expected
    assert ModelMetadata.from_json(expected) == SMALL
    assert hashlib.sha256(expected.encode()).hexdigest()[:16] == "8a841cb22123f824"


def test_keys_with_a_default_may_be_missing() -> None:
    """Text without a key that was added later is read with the key's default."""
    earlier = with_checksum(SMALL_TEXT.replace('"subject":"whole",', ""))
    assert hashlib.sha256(earlier.encode()).hexdigest()[:16] == "c76aaa237d670da6"
    assert ModelMetadata.from_json(earlier) == SMALL


def test_order_and_spaces_do_not_matter() -> None:
    """The checksum covers the canonical text: order and spaces of a file's text do not matter."""
    data = json.loads(SMALL.to_json())
    again = dict(reversed(data.items()))
    assert ModelMetadata.from_json(json.dumps(again, indent=3)) == SMALL


def test_unknown_keys_are_ignored() -> None:
    """What a later version of the same schema adds is ignored at any depth."""
    for path in (("later",), ("input", "later"), ("provenance", "later")):
        assert ModelMetadata.from_json(sealed(changed(*path, value={"a": [1.5, None]}))) == SMALL


def test_a_newer_schema_is_refused() -> None:
    """The message for a later schema says how to upgrade, whatever else the text holds."""
    for text in (
        sealed(changed("schema", value=SCHEMA + 1)),
        json.dumps({"schema": SCHEMA + 1}),
    ):
        with pytest.raises(
            ModelFileError, match=r"schema 3.* reads schema 2: .*pip install -U fmx-runtime"
        ):
            ModelMetadata.from_json(text)


def test_an_older_schema_is_refused() -> None:
    """The message for the first schema says to export again."""
    with pytest.raises(
        ModelFileError, match=r"schema 1, .* reads schema 2: export the model again"
    ):
        ModelMetadata.from_json(sealed(changed("schema", value=1)))


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
    """The message names the missing key."""
    with pytest.raises(ModelFileError, match=rf"^the model metadata lacks '{'.'.join(path)}'$"):
        ModelMetadata.from_json(sealed(changed(*path, value=...)))


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
        (("test_vectors",), {"pixels": "", "outputs": [["a"]]}),
        (("task",), "detection"),
        (("schema",), "1"),
        (("schema",), None),
        (("schema",), True),
    ],
)
def test_a_wrong_value_is_named(path: tuple[str, ...], value: Any) -> None:
    """The message has a value of a wrong type and its place, in one line."""
    with pytest.raises(
        ModelFileError, match=rf"^the model metadata has .* at '{'.'.join(path)}"
    ) as e:
        ModelMetadata.from_json(sealed(changed(*path, value=value)))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e31, -1e308])
def test_a_scale_that_overflows(value: float) -> None:
    """Scale and offset are finite and fit float32, in a program and in a file."""
    with pytest.raises(ModelFileError, match="is not a number between"):
        replace(SMALL.input, offset=value)
    with pytest.raises(ModelFileError, match=r"is not a number between|is not a JSON number"):
        ModelMetadata.from_json(sealed(changed("input", "scale", value=value)))


@pytest.mark.parametrize("size", [0, -1])
def test_an_empty_input_is_refused(size: int) -> None:
    """An input without pixels is refused, in a program and in a file."""
    with pytest.raises(ModelFileError, match=rf"input size 20x{size} is not positive"):
        replace(SMALL.input, height=size)
    with pytest.raises(ModelFileError, match=rf"input size {size}x28 is not positive"):
        ModelMetadata.from_json(sealed(changed("input", "width", value=size)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("labels",), ["T-shirt/top", 'Schuh, "kleiner"']),
        (("input", "scale"), 0.2),
        (("model_bytes",), 13),
        (("metadata_sha256",), "0" * 64),
        (("metadata_sha256",), None),
        (("metadata_sha256",), ...),
        (("later",), 1),
    ],
)
def test_changed_metadata_are_refused(path: tuple[str, ...], value: Any) -> None:
    """Metadata that differ from what was written are refused by their checksum."""
    with pytest.raises(ModelFileError, match=r"model metadata was changed.*export again"):
        ModelMetadata.from_json(json.dumps(changed(*path, value=value)))


@given(st.text() | json_values.map(json.dumps))
def test_arbitrary_text(text: str) -> None:
    """Arbitrary text, and arbitrary JSON, is a ModelFileError."""
    with pytest.raises(ModelFileError) as caught:
        ModelMetadata.from_json(text)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from([(key,) for key in json.loads(SMALL.to_json())])
    | st.sampled_from([("input", key) for key in json.loads(SMALL.to_json())["input"]])
    | st.sampled_from([("provenance", key) for key in json.loads(SMALL.to_json())["provenance"]]),
    json_values,
)
def test_arbitrary_values(path: tuple[str, ...], value: Any) -> None:
    """Metadata with an arbitrary value and the right checksum are read, or a ModelFileError."""
    try:
        read = ModelMetadata.from_json(sealed(changed(*path, value=value)))
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert read.labels is not None


@pytest.mark.parametrize("depth", [900, 950, 960, 970, 980, 990, 100_000])
def test_deeply_nested_values(depth: int) -> None:
    """An unknown value nested at any depth is a ModelFileError, not a RecursionError."""
    deep = "[" * depth + "]" * depth
    with pytest.raises(ModelFileError, match=r"nested too deeply|was changed"):
        ModelMetadata.from_json(f'{SMALL.to_json()[:-1]},"later":{deep}}}')


def test_metadata_are_immutable() -> None:
    """Metadata cannot be changed after they were made."""
    with pytest.raises(FrozenInstanceError):
        SMALL.name = "large"  # type: ignore[misc]
    assert SMALL.input.shape == (28, 20, 1)
