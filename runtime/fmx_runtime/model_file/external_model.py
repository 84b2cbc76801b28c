"""Metadata for a model that carries none: what its file shows, and what the user says of it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal

from fmx_runtime.backends.base import detect_format
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.checksum import sha256
from fmx_runtime.model_file.container import find_metadata
from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata, Provenance
from fmx_runtime.model_file.sandbox import probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fmx_runtime.backends.base import BackendName
    from fmx_runtime.model_file.sandbox import Findings

__all__ = ["INPUT_RANGES", "InputRange", "describe"]

InputRange = Literal["0..1", "-1..1", "0..255"]
"""The values that a pixel's 0 and 255 become."""

INPUT_RANGES: Mapping[InputRange, tuple[float, float]] = {
    "0..1": (1 / 255, 0.0),
    "-1..1": (1 / 127.5, -1.0),
    "0..255": (1.0, 0.0),
}
"""Scale and offset of each range."""

_UNKNOWN = Provenance(
    recipe="unknown",
    seed=0,
    data="unknown",
    data_digest="",
    keras_digest="",
    commit="unknown",
    versions={},
)


def describe(
    content: bytes,
    *,
    labels: Sequence[str],
    pixels: InputRange | None = None,
    backend: BackendName | None = None,
    threads: int = 1,
) -> ModelMetadata:
    """The metadata that a model from elsewhere would have, after it was tried (see `probe`).

    Images are stretched to the network's size, as most training does, and never inverted. A
    uint8 input takes pixels as they are. Answers that are no probabilities are taken for logits.

    Args:
        content: the whole file.
        labels: names of the classes, in the order of the network's outputs.
        pixels: what a floating-point input takes; None reads it from TFLite's standard metadata.
        backend: the interpreter; None takes the first installed one that fits.
        threads: for one inference, at least 1.

    Returns:
        Metadata with the model's checksum, and without accuracy, test vectors and origin; the
        precision is that of the input.

    Raises:
        ModelFileError: it has metadata of its own, cannot be opened, does not classify single
            images with channels last, has another number of classes, or needs ``pixels``.
        BackendError: no interpreter for it is installed.
    """
    if find_metadata(content) is not None:
        raise ModelFileError("carries model metadata with labels: leave out labels of your own")
    found = probe(content, backend=backend, threads=threads)
    _check_labels(labels, found.classes)
    scale, offset = _scale_and_offset(content, found, pixels)
    return ModelMetadata(
        name="unknown",
        precision="int8" if found.dtype == "uint8" else "float32",
        labels=tuple(labels),
        input=InputSpec(
            height=found.height,
            width=found.width,
            channels=found.channels,
            dtype=found.dtype,
            scale=scale,
            offset=offset,
            resize="stretch",
            polarity="any",
        ),
        output="probabilities" if found.probabilities else "logits",
        provenance=_UNKNOWN,
        model_sha256=sha256(content),
        model_bytes=len(content),
    )


def _check_labels(labels: Sequence[str], classes: int) -> None:
    for number, label in enumerate(labels, 1):
        if not (label.strip() and label.isprintable()):
            raise ModelFileError(
                f"label {number} is {label!r}: empty, or with characters that cannot be shown"
            )
    if len(labels) == classes:
        return
    remedy = "give one label for each class, in the order of the network's outputs"
    if len(labels) == classes - 1:
        remedy += "; if its first class is the background, put a line 'background' in front"
    if len(labels) == classes + 1:
        remedy += "; if the first label is the background, take it out"
    raise ModelFileError(f"has {classes} classes, and {len(labels)} labels are given: {remedy}")


def _scale_and_offset(
    content: bytes, found: Findings, pixels: InputRange | None
) -> tuple[float, float]:
    """What makes a pixel the value that the network wants, see `InputSpec`."""
    if pixels is not None:
        return INPUT_RANGES[pixels]
    if found.dtype == "uint8":
        return INPUT_RANGES["0..255"]
    means, deviations = _normalization(content)
    if not (means and deviations):
        raise ModelFileError(
            "takes floating-point numbers and does not say which: give what a pixel's 0 and 255 "
            "became in its training with --input-range=0..1, --input-range=-1..1 or --input-range=0..255"
        )
    if len({*means}) > 1 or len({*deviations}) > 1 or deviations[0] <= 0:
        raise ModelFileError(
            f"normalizes colours by means {means} and deviations {deviations}, expected one "
            "positive deviation and one mean for all of them; put that into the network"
        )
    return 1 / deviations[0], -means[0] / deviations[0] + 0.0  # the zero makes 0 of -0


# TFLite's standard metadata, a flatbuffer inside the model's. Numbers of fields as in the public
# schema.fbs and metadata_schema.fbs: Model, Metadata, Buffer; then ModelMetadata,
# SubGraphMetadata, TensorMetadata, ProcessUnit and NormalizationOptions
_BUFFERS, _METADATA, _NAME, _BUFFER, _DATA = 4, 6, 0, 1, 0
_SUBGRAPHS, _INPUTS, _PROCESS_UNITS, _KIND, _OPTIONS, _MEAN, _DEVIATION = 3, 2, 4, 0, 1, 0, 1
_METADATA_NAME, _NORMALIZATION = b"TFLITE_METADATA", 1


def _normalization(content: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and standard deviations by which the metadata normalizes the input, or nothing."""
    if detect_format(content) != "tflite":
        return (), ()
    try:
        model = _Table.root(content)
        for entry in model.tables(_METADATA):
            if entry.content(_NAME) == _METADATA_NAME:
                buffer = list(model.tables(_BUFFERS))[entry.number("I", _BUFFER)]
                subgraph = next(_Table.root(buffer.content(_DATA)).tables(_SUBGRAPHS))
                for unit in next(subgraph.tables(_INPUTS)).tables(_PROCESS_UNITS):
                    if unit.number("B", _KIND) == _NORMALIZATION:
                        options = unit.table(_OPTIONS)
                        return options.floats(_MEAN), options.floats(_DEVIATION)
    # there is none, or its offsets lead out of the file
    except (struct.error, OverflowError, IndexError, StopIteration):
        pass
    return (), ()


class _Table:
    """A table of a flatbuffer; what is not there is empty or 0."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, *struct.unpack_from("<I", data))

    def number(self, kind: str, slot: int) -> int:
        place = self._place(slot)
        return int(struct.unpack_from(f"<{kind}", self._data, place)[0]) if place else 0

    def table(self, slot: int) -> _Table:
        return _Table(self._data, self._follow(self._place(slot)))

    def tables(self, slot: int) -> Iterator[_Table]:
        start, size = self._vector(slot)
        for place in range(start, min(start + 4 * size, len(self._data)), 4):
            yield _Table(self._data, self._follow(place))

    def content(self, slot: int) -> bytes:
        start, size = self._vector(slot)
        return self._data[start : start + size]

    def floats(self, slot: int) -> tuple[float, ...]:
        start, size = self._vector(slot)
        return struct.unpack_from(f"<{min(size, 4)}f", self._data, start)

    def _vector(self, slot: int) -> tuple[int, int]:
        """Where a vector's content begins, and how many items it has."""
        place = self._place(slot)
        if not place:
            return 0, 0
        start = self._follow(place)
        return start + 4, int(struct.unpack_from("<I", self._data, start)[0])

    def _follow(self, place: int) -> int:
        return place + int(struct.unpack_from("<I", self._data, place)[0])

    def _place(self, slot: int) -> int:
        """Where a field lies, 0 if it is left out."""
        (back,) = struct.unpack_from("<i", self._data, self._at)
        table = self._at - back
        entry = 4 + 2 * slot
        if entry >= struct.unpack_from("<H", self._data, table)[0]:
            return 0
        relative = int(struct.unpack_from("<H", self._data, table + entry)[0])
        return relative and self._at + relative
