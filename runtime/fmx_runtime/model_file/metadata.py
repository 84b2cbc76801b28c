"""The model metadata: one JSON document inside each model file.

It states what a reader needs to run the model correctly, how the file was made, and its
measured accuracy. docs/model-file.md specifies it. Standard library only.

History of the schema:

1. first version
2. the field's terms as keys: ``test_vectors``, ``excluded_layers``, ``metadata_sha256``
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.checksum import metadata_checksum
from fmx_runtime.support import json_codec

__all__ = [
    "METADATA_KEY",
    "SCHEMA",
    "Accuracy",
    "InputSpec",
    "ModelMetadata",
    "Precision",
    "Provenance",
    "Quantization",
    "TestVectors",
]

SCHEMA = 2
METADATA_KEY = "fmx.json"
"""Name of the ZIP entry (TFLite) and of the metadata property (ONNX) that hold the metadata."""

Precision = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
"""What weights and activations are stored and computed in; only ``int8`` takes uint8 input."""

_CHECKSUM_KEY = "metadata_sha256"
_MAX_SIDE = 16_384
_MAX_VALUE = 1e30
"""Limit of scale and offset, so that no pixel value overflows float32."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How an image becomes the input tensor ``(1, height, width, channels)``.

    Attributes:
        height: in pixels, 1 to 16,384.
        width: in pixels, 1 to 16,384.
        channels: 1 (gray) or 3 (RGB).
        dtype: of the tensor. ``uint8`` takes pixel values from 0 to 255 unchanged; ``float32``
            takes ``pixel * scale + offset``.
        scale: see ``dtype``. For ``uint8``, scale and offset state the real value that a pixel
            value stands for; a reader does not apply them.
        offset: see ``scale``.
        resize: ``fit`` keeps the aspect ratio and fills the rest with the image's own border
            color; ``stretch`` does not keep it.
        polarity: ``light-on-dark`` if the model was trained on light objects on a dark ground
            only, so that images with a light border are inverted; ``any`` leaves images unchanged.
        subject: ``garment`` if the model was trained on garments on a black ground, so that the
            garment in a photo is segmented first; ``whole`` takes the whole image.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    dtype: Literal["float32", "uint8"] = "float32"
    scale: float
    offset: float
    resize: Literal["fit", "stretch"]
    polarity: Literal["light-on-dark", "any"]
    subject: Literal["whole", "garment"] = "whole"

    def __post_init__(self) -> None:
        """Refuse sizes that no image can have, and values that overflow float32."""
        if self.height < 1 or self.width < 1:
            raise ModelFileError(f"input size {self.width}x{self.height} is not positive")
        if max(self.height, self.width) > _MAX_SIDE:
            raise ModelFileError(f"input sides above {_MAX_SIDE} pixels are refused")
        # written so that NaN is refused too
        if not (abs(self.scale) <= _MAX_VALUE and abs(self.offset) <= _MAX_VALUE):
            raise ModelFileError(
                f"input scale {self.scale} or offset {self.offset} is not a number between "
                f"-{_MAX_VALUE:g} and {_MAX_VALUE:g}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)``."""
        return self.height, self.width, self.channels


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How the model was quantized; the quantization parameters themselves are in the model."""

    scheme: str
    """For example ``int8 per-channel weights, uint8 input``."""
    calibration: str
    """How calibration ranges were computed, for example ``min-max``."""
    split: str
    """The data that the calibration set was drawn from."""
    size: int
    """Number of images in the calibration set."""
    seed: int
    """Random seed of the draw."""
    digest: str
    """SHA-256 of the calibration set's pixels."""
    excluded_layers: tuple[str, ...] = ()
    """Layers that were excluded from quantization to keep the accuracy."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the model was made."""

    recipe: str
    """Name of the training recipe."""
    seed: int
    """Random seed of the training."""
    data: str
    """Name of the data set."""
    data_digest: str
    """SHA-256 of the training images' pixels and labels."""
    keras_digest: str
    """SHA-256 of the Keras model's weights."""
    commit: str
    """Git commit of the working folder, or ``unknown``."""
    versions: dict[str, str]
    """Package name -> version."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Top-1 accuracy of the Keras model and of this file on the same images, from 0 to 1."""

    keras: float | None
    """None where the images have no labels."""
    file: float | None
    """None where the images have no labels."""
    agreement: float
    """Fraction of images for which both predict the same label."""
    data: str
    """Name of the images."""
    size: int
    """Number of images."""


@dataclass(frozen=True, kw_only=True)
class TestVectors:
    """A few inputs and the outputs that this file gave for them when it was exported.

    `fmx_runtime.model_file.test_vectors` packs and unpacks them.
    """

    pixels: str
    """Base64 of the zlib-compressed uint8 pixels ``(n, height, width, channels)``."""
    outputs: tuple[tuple[float, ...], ...]
    """Class probabilities, ``n`` rows of one float32 value for each class."""


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """Everything needed to run a model file correctly, and to know how it was made."""

    name: str
    precision: Precision
    labels: tuple[str, ...]
    """Class names, in the order of the model's outputs."""
    input: InputSpec
    output: Literal["probabilities", "logits"]
    provenance: Provenance
    model_sha256: str = ""
    """SHA-256, in hexadecimal, of the file's first ``model_bytes`` bytes."""
    model_bytes: int = 0
    """Size of the model alone, without the container of this metadata."""
    quantization: Quantization | None = None
    """None for a model that is not quantized."""
    accuracy: Accuracy | None = None
    """None where it was not measured."""
    test_vectors: TestVectors | None = None
    task: Literal["image-classification"] = "image-classification"
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return the metadata as JSON with its own checksum: equal metadata give equal text."""
        data = dataclasses.asdict(self)
        return json_codec.dump({**data, _CHECKSUM_KEY: metadata_checksum(data)})

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Read metadata and compare its checksum; unknown keys are ignored.

        Raises:
            ModelFileError: the text is not a JSON object or has another schema, a value is missing
                or has the wrong type, or the checksum differs.
        """
        try:
            data = json_codec.parse(text)
            _check_schema(data)
            metadata = json_codec.decode(cls, data)
            stated = data.pop(_CHECKSUM_KEY, None)
            if stated != metadata_checksum(data):
                raise ModelFileError(
                    "the model metadata was changed after it was exported (checksum differs); "
                    "export again"
                )
        except json_codec.CodecError as error:
            raise ModelFileError(f"the model metadata {error}") from error
        except RecursionError as error:
            raise ModelFileError("the model metadata is nested too deeply") from error
        return metadata


def _check_schema(data: dict[str, Any]) -> None:
    """Raise a `ModelFileError` for metadata without a schema, or of an older or newer one.

    This comes first, because the keys of another schema may have other types.
    """
    if "schema" not in data:
        raise ModelFileError("the model metadata lacks 'schema'")
    schema = data["schema"]
    if type(schema) is not int or schema == SCHEMA:  # the codec reports a wrong type
        return
    advice = "export the model again"
    if schema > SCHEMA:
        advice = "upgrade it with 'pip install -U fmx-runtime'"
    raise ModelFileError(
        f"the model metadata has schema {schema}, this fmx-runtime reads schema {SCHEMA}: {advice}"
    )
