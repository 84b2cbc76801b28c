"""A reader written by the rules of docs/model-file.md alone, and what it reads.

The reader uses the standard library only and nothing of fmx.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import struct
import typing
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmx_runtime import Classifier
from fmx_runtime.images.preprocess import to_pixels, to_tensor
from fmx_runtime.model_file import metadata
from fmx_runtime.model_file.container import read_metadata
from fmx_runtime.model_file.default_model import SHIPPED
from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata
from fmx_runtime.model_file.test_vectors import decode
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[3] / "docs" / "model-file.md").read_text("utf-8")

# --- the reader: "Format" and "Container" ---------------------------------------------------------


def model_format(content: bytes) -> str:
    """Detect the format by the first bytes."""
    if content[4:8] == b"TFL3":
        return "tflite"
    if content[0] in (0x08, 0x12, 0x1A):
        return "onnx"
    raise ValueError("not a model file")


def find_in_zip(content: bytes) -> bytes:
    """Find the entry by the archive's central directory."""
    end = content.rindex(b"PK\x05\x06", max(0, len(content) - 65_557))
    if len(content) < end + 22:
        raise ValueError("cut off")
    (entries,) = struct.unpack_from("<H", content, end + 10)
    (directory_size,) = struct.unpack_from("<I", content, end + 12)
    position = end - directory_size
    found = None
    for _ in range(entries):
        (method,) = struct.unpack_from("<H", content, position + 10)
        checksum, size = struct.unpack_from("<II", content, position + 16)
        name_size, extra_size, comment_size = struct.unpack_from("<HHH", content, position + 28)
        (header,) = struct.unpack_from("<I", content, position + 42)
        name = content[position + 46 : position + 46 + name_size]
        if name == b"fmx.json":
            if method != 0:
                raise ValueError("compressed")
            start = header + 30 + sum(struct.unpack_from("<HH", content, header + 26))
            found = content[start : start + size]
            if zlib.crc32(found) != checksum:
                raise ValueError("damaged")
        position += 46 + name_size + extra_size + comment_size
    if found is None:
        raise ValueError("no metadata")
    return found


def varint(content: bytes, position: int) -> tuple[int, int]:
    """Read a varint of at most 10 bytes."""
    value = 0
    for index in range(10):
        byte = content[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("too long")


def fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Go through the fields of a message that have a length."""
    position = count = 0
    while position < len(content):
        count += 1
        tag, position = varint(content, position)
        wire_type = tag & 7
        if wire_type == 0:
            _, position = varint(content, position)
            continue
        if wire_type == 2:
            size, position = varint(content, position)
            if position + size <= len(content):
                yield tag >> 3, content[position : position + size]
        else:
            size = {1: 8, 5: 4}[wire_type]
        position += size
        if position > len(content) or count > 100_000:
            raise ValueError("damaged")


def find_in_onnx(content: bytes) -> bytes:
    """Find the last property of that name."""
    found = None
    for number, field in fields(content):
        if number == 14:
            entry = dict(fields(field))
            if entry[1] == b"fmx.json":
                found = entry[2]
    if found is None:
        raise ValueError("no metadata")
    return found


# --- the reader: "Document" -----------------------------------------------------------------------


def keys_of_the_page() -> dict[str, tuple[str, bool]]:
    """Each key of the page's table: its type, and whether it is required."""
    keys = {}
    for names, kind in re.findall(r"(?m)^\| (`[^|]+`) \| ([^|]+) \|", PAGE):
        words = kind.strip().removesuffix(", required")
        required = words != kind.strip()
        listed = [name.strip(" `") for name in names.split(",")]
        kinds = words.split(", ") if ", " in words else [words] * len(listed)
        for name, one in zip(listed, kinds, strict=True):
            keys[name] = (one, required)
    return keys


KEYS = keys_of_the_page()
CHECKS: dict[str, Any] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "object of strings": lambda value: (
        isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    ),
    "array of strings": lambda value: (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    ),
    "array of arrays of numbers": lambda value: (
        isinstance(value, list)
        and all(
            isinstance(row, list) and all(type(x) in (int, float) for x in row) for row in value
        )
    ),
}


def check_keys(document: dict[str, Any]) -> None:
    """Check that each required key is there, and the type of each key."""
    for key, (kinds, required) in KEYS.items():
        *parents, name = key.split(".")
        place: Any = document
        for parent in parents:
            place = place.get(parent)
        if place is None:  # an object that may be null
            continue
        if name not in place:
            if required:
                raise ValueError(f"{key} is missing")
        elif not any(CHECKS[kind](place[name]) for kind in kinds.split(" or ")):
            raise ValueError(f"{key} has another type")


def refuse_constant(name: str) -> None:
    """Refuse NaN and infinity."""
    raise ValueError(f"{name} is not JSON")


# --- the reader: "Checksums" ----------------------------------------------------------------------

ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def canonical(value: Any) -> str:
    """The canonical text of a value."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: [ord(letter) for letter in member[0]])
        return "{" + ",".join(f"{canonical(key)}:{canonical(x)}" for key, x in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return (
            '"'
            + "".join(
                ESCAPES.get(letter) or (f"\\u{ord(letter):04x}" if letter < " " else letter)
                for letter in value
            )
            + '"'
        )
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)  # Python writes numbers as the page asks


def read(content: bytes) -> dict[str, Any]:
    """Read a model file's document, in the order of the page."""
    stored = find_in_zip(content) if model_format(content) == "tflite" else find_in_onnx(content)
    document: dict[str, Any] = json.loads(stored.decode("utf-8"), parse_constant=refuse_constant)
    if document["schema"] != 2:
        raise ValueError("another schema")
    check_keys(document)
    checksum = document["metadata_sha256"]
    rest = {key: value for key, value in document.items() if key != "metadata_sha256"}
    if hashlib.sha256(canonical(rest).encode("utf-8", "surrogatepass")).hexdigest() != checksum:
        raise ValueError("the metadata was changed")
    size = document["model_bytes"]
    if size < 1 or hashlib.sha256(content[:size]).hexdigest() != document["model_sha256"]:
        raise ValueError("the model was changed")
    return document


# --- the reader: "Test vectors" -------------------------------------------------------------------


def unpack_test_vectors(document: dict[str, Any]) -> tuple[bytes, list[list[float]]]:
    """The bytes of all inputs, and their outputs."""
    vectors, spec = document["test_vectors"], document["input"]
    size = len(vectors["outputs"]) * spec["height"] * spec["width"] * spec["channels"]
    packed = base64.b64decode(vectors["pixels"], validate=True)
    pixels = zlib.decompressobj().decompress(packed, size + 1)
    if len(pixels) != size:
        raise ValueError("another size")
    return pixels, vectors["outputs"]


# --- what it reads --------------------------------------------------------------------------------


@pytest.fixture(params=["shipped", "int8.tflite", "int8.onnx", "float32.onnx"])
def path(request: pytest.FixtureRequest) -> Path:
    """The model that comes with the runtime, and exported files."""
    if request.param == "shipped":
        return Path(SHIPPED)
    folder: Path = request.getfixturevalue("exported")
    return folder / f"baseline.{request.param}"


def test_the_page_is_enough_to_read_a_file(path: Path) -> None:
    """The page's reader reads the metadata that the runtime reads, checksums compared."""
    content = path.read_bytes()
    document = read(content)
    expected = ModelMetadata.from_json(read_metadata(content))
    del document["metadata_sha256"]
    assert document == json.loads(json.dumps(dataclasses.asdict(expected)))


def test_the_stored_text_is_canonical(path: Path) -> None:
    """Removing the checksum from the stored bytes gives the text that it covers."""
    stored = read_metadata(path.read_bytes())
    checksum = json.loads(stored)["metadata_sha256"]
    rest = stored.replace(f'"metadata_sha256":"{checksum}",', "")
    assert hashlib.sha256(rest.encode("utf-8")).hexdigest() == checksum


def test_test_vectors(path: Path) -> None:
    """The page's reader unpacks the test vectors, and the model gives their outputs."""
    document = read(path.read_bytes())
    pixels, outputs = unpack_test_vectors(document)
    classifier = Classifier(path)
    assert classifier.metadata.test_vectors is not None
    expected_pixels, expected_outputs = decode(
        classifier.metadata.test_vectors, classifier.metadata.input.shape
    )
    assert pixels == expected_pixels.tobytes()
    assert outputs == expected_outputs.astype(float).tolist()
    tolerance = {"int8": 0.1, "float32": 0.0001}[document["precision"]]
    found = classifier.predict(expected_pixels)
    assert np.abs(found - np.array(outputs)).max() <= tolerance


@pytest.mark.parametrize("where", ["model", "metadata", "end"])
def test_damage_is_found(where: str, path: Path) -> None:
    """One changed byte of the model or the metadata, or a missing one at the end, is refused."""
    content = bytearray(path.read_bytes())
    size = ModelMetadata.from_json(read_metadata(bytes(content))).model_bytes
    if where == "end":
        del content[-1]
    else:
        content[size // 2 if where == "model" else size + 500] ^= 1
    with pytest.raises((ValueError, LookupError, struct.error)):
        read(bytes(content))


def test_each_key_is_described() -> None:
    """The page's table has each key that the runtime knows, and no other one."""

    def keys(kind: Any, prefix: str = "") -> Iterator[str]:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            yield prefix + field.name
            hint = hints[field.name]
            inner = [x for x in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(x)]
            for one in inner:
                yield from keys(one, f"{prefix}{field.name}.")

    assert set(KEYS) == {*keys(ModelMetadata), "metadata_sha256"}


def test_required_keys_are_those_without_a_default() -> None:
    """What the page requires, the runtime requires, and the other way round."""
    kinds = {
        "": ModelMetadata,
        "input.": InputSpec,
        "quantization.": metadata.Quantization,
        "accuracy.": metadata.Accuracy,
        "provenance.": metadata.Provenance,
        "test_vectors.": metadata.TestVectors,
    }
    for prefix, kind in kinds.items():
        for field in dataclasses.fields(kind):
            required = field.default is dataclasses.MISSING
            # these have defaults in memory only: without them a checksum or the schema differs
            if field.name in {"schema", "model_sha256", "model_bytes"}:
                required = True
            assert KEYS[prefix + field.name][1] == required, field.name


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_canonical_text(data: dict[str, Any]) -> None:
    """The page's canonical text is the text whose checksum the runtime compares."""
    assert canonical(data) == json_codec.dump(data)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0"), (1e16, "1e+16"), (1.5e-7, "1.5e-07"), (-0.0, "-0.0"), (0.0001, "0.0001")],
)
def test_numbers_of_the_page(value: float, text: str) -> None:
    """Numbers are written as the page's examples are."""
    assert canonical(value) == json_codec.dump({"a": value})[5:-1] == text


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_preprocessing_without_resizing(dtype: str) -> None:
    """Gray values and tensor values of a color image are those of the page's steps 1 and 6."""
    rgb = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    spec = InputSpec(
        height=6,
        width=5,
        channels=1,
        dtype=dtype,  # type: ignore[arg-type]
        scale=1 / 127.5,
        offset=-1.0,
        resize="fit",
        polarity="light-on-dark",
    )
    red, green, blue = rgb.astype(np.int64).transpose(2, 0, 1)
    gray = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)[:, :, np.newaxis]
    pixels = to_pixels(Image.fromarray(rgb), spec)
    assert np.array_equal(pixels, gray)
    values = gray if dtype == "uint8" else (gray * (1 / 127.5) + -1.0).astype(np.float32)
    assert np.array_equal(to_tensor(pixels, spec), values)


def test_preprocessing_of_a_light_image() -> None:
    """A light image is inverted, shrunk by the page's rule and padded with its border's color."""
    spec = InputSpec(
        height=10,
        width=10,
        channels=1,
        scale=1.0,
        offset=0.0,
        resize="fit",
        polarity="light-on-dark",
    )
    light = np.full((20, 61), 240, np.uint8)
    light[5:15, 20:40] = 30
    pixels = to_pixels(light, spec)[:, :, 0]
    height = round(20 * min(10 / 61, 10 / 20))
    top = (10 - height) // 2
    assert (pixels[:top] == 15).all()
    assert (pixels[top + height :] == 15).all()
    assert pixels[top : top + height].max() > 180
