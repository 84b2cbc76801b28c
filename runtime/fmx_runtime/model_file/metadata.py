"""The model metadata: one JSON document that travels inside each model file.

A model file alone is enough to run it right: the metadata says what the input tensor expects, what the
output means, which labels there are, how the file was made, and what it was measured to do.
Standard library only.

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
"""What weights and activations are stored and computed in; only ``int8`` takes pixels as bytes."""

_LARGEST_SIDE = 16_384
_LARGEST_VALUE = 1e30
_CHECKSUM = "metadata_sha256"


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How an image becomes the input tensor ``(1, height, width, channels)``.

    Attributes:
        height: pixels.
        width: pixels.
        channels: 1 (gray) or 3 (RGB).
        dtype: of the tensor. ``uint8`` takes pixels as they are; ``float32`` takes
            ``pixel * scale + offset``.
        scale: see ``dtype``; for ``uint8`` it tells what a pixel means to the network.
        offset: likewise.
        resize: ``fit`` keeps the aspect ratio and fills the rest with the image's own border
            colour; ``stretch`` does not keep it.
        polarity: ``light-on-dark`` when the network knows only light things on a dark ground, so
            that images with a light border are inverted; ``any`` leaves them alone.
        subject: ``garment`` when the network knows only garments cut out on a black ground, so that
            the garment in a photo is found first; ``whole`` shows it the whole image.
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
        """Refuse sizes that no image can have, and values that no tensor should."""
        if self.height < 1 or self.width < 1:
            raise ModelFileError(f"input size {self.width}x{self.height} is not positive")
        if max(self.height, self.width) > _LARGEST_SIDE:
            raise ModelFileError(f"input sides above {_LARGEST_SIDE} pixels are refused")
        # so that no value of a pixel overflows float32
        if not (abs(self.scale) <= _LARGEST_VALUE and abs(self.offset) <= _LARGEST_VALUE):
            raise ModelFileError(f"input scale {self.scale} or offset {self.offset} is no number")

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)``."""
        return self.height, self.width, self.channels


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How the tensors' ranges were found; the ranges themselves live in the graph."""

    scheme: str
    """For example ``int8 per-channel weights, uint8 input``."""
    calibration: str
    """How ranges were taken from the sample, for example ``min-max``."""
    split: str
    """The data the sample was drawn from."""
    size: int
    """Number of images."""
    seed: int
    digest: str
    """SHA-256 of the sample's pixels."""
    excluded_layers: tuple[str, ...] = ()
    """What stayed in float, because the file would lose too much accuracy otherwise."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a file came from."""

    recipe: str
    seed: int
    data: str
    """Name of the data set."""
    data_digest: str
    """SHA-256 over the training pixels and labels."""
    keras_digest: str
    """SHA-256 over the Keras model's weights."""
    commit: str
    """Git commit of the working folder, or ``unknown``."""
    versions: dict[str, str]
    """Package name -> version."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Top-1 accuracy, as fractions, of the Keras model and of this file on the same images.

    None for both where the images have no labels.
    """

    keras: float | None
    file: float | None
    agreement: float
    """Fraction of images on which both give the same label."""
    data: str
    size: int


@dataclass(frozen=True, kw_only=True)
class TestVectors:
    """A few inputs and what this file answered to them when it was made."""

    pixels: str
    """Base64 of the zlib-compressed uint8 pixels ``(n, height, width, channels)``."""
    outputs: tuple[tuple[float, ...], ...]
    """Class probabilities, ``n`` rows."""


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """Everything needed to run a model file right, and to know where it came from."""

    name: str
    precision: Precision
    labels: tuple[str, ...]
    input: InputSpec
    output: Literal["probabilities", "logits"]
    provenance: Provenance
    model_sha256: str = ""
    """Of the first ``model_bytes`` bytes of the file: the model without what was appended."""
    model_bytes: int = 0
    quantization: Quantization | None = None
    accuracy: Accuracy | None = None
    test_vectors: TestVectors | None = None
    task: Literal["image-classification"] = "image-classification"
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The metadata as text, with its own checksum: equal metadata give equal bytes."""
        data = dataclasses.asdict(self)
        return json_codec.dump({**data, _CHECKSUM: metadata_checksum(data)})

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Read metadata; keys that this version does not know are passed over.

        Raises:
            ModelFileError: no JSON object, a newer schema, a value that is missing or wrong, or
                a checksum that differs.
        """
        try:
            data = json_codec.parse(text)
            if "schema" not in data:
                raise ModelFileError("the model metadata lacks 'schema'")
            if isinstance(data["schema"], int) and data["schema"] > SCHEMA:
                raise ModelFileError(
                    f"the model metadata has schema {data['schema']}, this fmx-runtime reads up to "
                    f"{SCHEMA}: upgrade it with 'pip install -U fmx-runtime'"
                )
            if isinstance(data["schema"], int) and data["schema"] < SCHEMA:
                raise ModelFileError(
                    f"the model metadata has schema {data['schema']}, this fmx-runtime reads {SCHEMA}: "
                    "export the model again"
                )
            metadata = json_codec.decode(cls, data)
            stated = data.pop(_CHECKSUM, None)
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
