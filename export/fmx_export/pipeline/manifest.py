"""The manifest of an export folder: its files, and what was measured on each.

This module imports none of the converters' libraries, so commands that only read a manifest start
fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_export.common.quantization_config import Method  # noqa: TC001 (the codec reads the types)
from fmx_runtime.backends.base import ModelFormat  # noqa: TC001
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Accuracy, Precision, Provenance  # noqa: TC001
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MANIFEST", "Attempt", "ExportedFile", "Manifest", "RejectedFile"]

MANIFEST = "manifest.json"
"""Name of the manifest in an export folder."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of accuracy control: a quantization config and its measured accuracy.

    Attributes:
        calibration: the calibration method.
        excluded_layers: names of the layers that were excluded from quantization.
        accuracy: of the file that was made.
        passed: whether the accuracy drop was allowed.
    """

    calibration: Method
    excluded_layers: tuple[str, ...]
    accuracy: Accuracy
    passed: bool


@dataclass(frozen=True)
class ExportedFile:
    """A model file of the export.

    Attributes:
        file: its name.
        format: ``tflite`` or ``onnx``.
        precision: of the weights and, for most formats, of the activations.
        size_bytes: of the whole file, with metadata.
        sha256: of the whole file, in hex.
        accuracy: measured on the validation images.
        attempts: int8 only: the attempts of accuracy control; the last one made this file.
        float_operators: int8 only: the types of operators that still compute in float.
    """

    file: str
    format: ModelFormat
    precision: Precision
    size_bytes: int
    sha256: str
    accuracy: Accuracy
    attempts: tuple[Attempt, ...] = ()
    float_operators: tuple[str, ...] = ()


@dataclass(frozen=True)
class RejectedFile:
    """A file that could not be made or was not accurate enough, and was not written.

    Attributes:
        file: the name it would have.
        reason: why it was rejected, in one line.
        attempts: int8 only: the attempts of accuracy control.
    """

    file: str
    reason: str
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        name: of the model.
        keras_model: the Keras model's path, relative to the export folder.
        provenance: of the Keras model.
        files: the model files in the folder.
        rejected: the files that were asked for and not written.
        layer_reports: names of the files that ``--layer-report`` adds.
    """

    name: str
    keras_model: str
    provenance: Provenance
    files: tuple[ExportedFile, ...]
    rejected: tuple[RejectedFile, ...] = ()
    layer_reports: tuple[str, ...] = ()

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of all files that belong to the export, without the manifest itself."""
        return (*(file.file for file in self.files), *self.layer_reports)

    def to_json(self) -> str:
        """Return the manifest as indented JSON."""
        return json_codec.encode(self, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of an export folder.

        Raises:
            DataError: the folder has no manifest, or it is damaged.
        """
        path = folder / MANIFEST
        try:
            return json_codec.decode(cls, json_codec.parse(path.read_text("utf-8")))
        except FileNotFoundError as error:
            raise DataError(f"'{folder}' has no {MANIFEST}: it is not an export folder") from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{path}' cannot be read: {error}; export again") from error
        except json_codec.CodecError as error:
            raise DataError(f"'{path}' {error}; export again") from error
