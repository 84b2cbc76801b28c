"""Metadata for an external model: found out in a sandbox process, or stated by the user."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal

from fmx_runtime.backends.base import detect_format
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.checksum import sha256
from fmx_runtime.model_file.container import find_metadata
from fmx_runtime.model_file.flatbuffer import Table
from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata, Provenance
from fmx_runtime.model_file.sandbox import run_in_sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmx_runtime.backends.base import BackendName
    from fmx_runtime.model_file.sandbox import ModelSignature

__all__ = ["INPUT_RANGES", "InputRange", "describe_external_model"]

InputRange = Literal["0..1", "-1..1", "0..255"]
"""The values that a model wants for pixel values from 0 to 255."""

INPUT_RANGES: Mapping[InputRange, tuple[float, float]] = {
    "0..1": (1 / 255, 0.0),
    "-1..1": (1 / 127.5, -1.0),
    "0..255": (1.0, 0.0),
}
"""Scale and offset of each range, see `fmx_runtime.model_file.metadata.InputSpec`."""

_UNKNOWN_PROVENANCE = Provenance(
    recipe="unknown",
    seed=0,
    data="unknown",
    data_digest="",
    keras_digest="",
    commit="unknown",
    versions={},
)

# TFLite's standard metadata is a flatbuffer inside the model's. These are the numbers of the
# fields in the public schema.fbs and metadata_schema.fbs.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0
_SUBGRAPH_METADATA = 3
_INPUT_TENSOR_METADATA = 2
_PROCESS_UNITS = 4
_UNIT_OPTIONS_TYPE, _UNIT_OPTIONS = 0, 1
_MEAN, _STANDARD_DEVIATION = 0, 1

_STANDARD_METADATA = b"TFLITE_METADATA"
_NORMALIZATION_OPTIONS = 1  # in the union ProcessUnitOptions


def describe_external_model(
    content: bytes,
    *,
    labels: Sequence[str],
    input_range: InputRange | None = None,
    backend: BackendName | None = None,
    threads: int = 1,
) -> ModelMetadata:
    """Return metadata for a model file that has none.

    The model is run in a sandbox process first, see `run_in_sandbox`. Images will be stretched to
    the input size, as most training does, and never inverted. A uint8 input takes pixel values
    unchanged. Outputs that are not probabilities are taken for logits.

    Args:
        content: the whole file.
        labels: names of the classes, in the order of the model's outputs.
        input_range: the values that a float32 input expects; None reads them from TFLite's
            standard metadata.
        backend: the interpreter; None takes the first installed one that runs the format.
        threads: number of threads for one inference, at least 1.

    Returns:
        Metadata with the model's checksum, and without accuracy, test vectors and provenance. Its
        precision is ``int8`` for a uint8 input and ``float32`` for a float32 input.

    Raises:
        ModelFileError: the file has metadata, cannot be opened, does not classify
            single images with channels last, has another number of classes, or needs
            ``input_range``.
        BackendError: no interpreter for it is installed.
    """
    if find_metadata(content) is not None:
        raise ModelFileError("has model metadata with labels: do not give other labels")
    signature = run_in_sandbox(content, backend=backend, threads=threads)
    _check_labels(labels, signature.classes)
    scale, offset = _scale_and_offset(content, signature, input_range)
    return ModelMetadata(
        name="unknown",
        precision="int8" if signature.dtype == "uint8" else "float32",
        labels=tuple(labels),
        input=InputSpec(
            height=signature.height,
            width=signature.width,
            channels=signature.channels,
            dtype=signature.dtype,
            scale=scale,
            offset=offset,
            resize="stretch",
            polarity="any",
        ),
        output="probabilities" if signature.probabilities else "logits",
        provenance=_UNKNOWN_PROVENANCE,
        model_sha256=sha256(content),
        model_bytes=len(content),
    )


def _check_labels(labels: Sequence[str], classes: int) -> None:
    for number, label in enumerate(labels, 1):
        if not (label.strip() and label.isprintable()):
            raise ModelFileError(f"label {number} is {label!r}: empty, or not printable")
    if len(labels) == classes:
        return
    advice = "give one label for each class, in the order of the model's outputs"
    if len(labels) == classes - 1:
        advice += "; if its first class is the background, put a line 'background' in front"
    if len(labels) == classes + 1:
        advice += "; if the first label is the background, take it out"
    raise ModelFileError(f"has {classes} classes, but {len(labels)} labels are given: {advice}")


def _scale_and_offset(
    content: bytes, signature: ModelSignature, input_range: InputRange | None
) -> tuple[float, float]:
    """Return the scale and offset of the input, see `InputSpec`."""
    if input_range is not None:
        return INPUT_RANGES[input_range]
    if signature.dtype == "uint8":
        return INPUT_RANGES["0..255"]
    means, deviations = _read_normalization(content)
    if not (means and deviations):
        raise ModelFileError(
            "takes float32 input and does not state its range: give the range it was trained with, "
            "--input-range=0..1, --input-range=-1..1 or --input-range=0..255"
        )
    if len({*means}) > 1 or len({*deviations}) > 1 or deviations[0] <= 0:
        raise ModelFileError(
            f"normalizes colors by means {means} and standard deviations {deviations}, expected "
            "one mean and one positive standard deviation for all channels; put the normalization "
            "into the model"
        )
    # adding zero makes 0 of -0
    return 1 / deviations[0], -means[0] / deviations[0] + 0.0


def _read_normalization(content: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return means and standard deviations from TFLite's standard metadata.

    Both are empty where there is no such metadata, or it is damaged.
    """
    if detect_format(content) != "tflite":
        return (), ()
    try:
        model = Table.root(content)
        for entry in model.tables(_MODEL_METADATA):
            if entry.content(_METADATA_NAME) == _STANDARD_METADATA:
                buffer = list(model.tables(_MODEL_BUFFERS))[entry.number("I", _METADATA_BUFFER)]
                return _input_normalization(Table.root(buffer.content(_BUFFER_DATA)))
    # offsets lead out of the file, or a table that should be there is not
    except (struct.error, OverflowError, IndexError, StopIteration):
        pass
    return (), ()


def _input_normalization(metadata: Table) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return means and standard deviations of the first input of a TFLite ``ModelMetadata``."""
    subgraph = next(metadata.tables(_SUBGRAPH_METADATA))
    for unit in next(subgraph.tables(_INPUT_TENSOR_METADATA)).tables(_PROCESS_UNITS):
        if unit.number("B", _UNIT_OPTIONS_TYPE) == _NORMALIZATION_OPTIONS:
            options = unit.table(_UNIT_OPTIONS)
            return options.floats(_MEAN), options.floats(_STANDARD_DEVIATION)
    return (), ()
