"""The manifest of an export folder: which files there are, and what was measured of them.

Needs none of the converters' libraries, so whoever only reads a manifest starts fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_export.common.quantization_config import Method  # noqa: TC001 (the codec reads these types)
from fmx_runtime.backends.base import ModelFormat  # noqa: TC001
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Accuracy, Precision, Provenance  # noqa: TC001
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MANIFEST", "Attempt", "ExportedFile", "Manifest", "Refused"]

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One way of making a network int8, and what its file was measured to do."""

    calibration: Method
    excluded_layers: tuple[str, ...]
    accuracy: Accuracy
    passed: bool


@dataclass(frozen=True)
class ExportedFile:
    """One file of the manifest; ``size_bytes`` and ``sha256`` are of the whole file."""

    file: str
    format: ModelFormat
    precision: Precision
    size_bytes: int
    sha256: str
    accuracy: Accuracy
    attempts: tuple[Attempt, ...] = ()
    """int8: what was tried, the last one being this file."""
    float_operators: tuple[str, ...] = ()
    """int8: the operators that compute in float all the same, each kind once."""


@dataclass(frozen=True)
class Refused:
    """A file that was not good enough to be published."""

    file: str
    reason: str
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What one export wrote; ``manifest.json`` in the folder."""

    name: str
    keras_model: str
    """The source's path, relative to the manifest."""
    provenance: Provenance
    files: tuple[ExportedFile, ...]
    refused: tuple[Refused, ...] = ()
    reports: tuple[str, ...] = ()
    """Names of the tables and images that ``--layer-report`` adds."""

    @property
    def names(self) -> tuple[str, ...]:
        """All files that belong to the export, but for the manifest itself."""
        return (*(file.file for file in self.files), *self.reports)

    def to_json(self) -> str:
        """The manifest as indented JSON."""
        return json_codec.encode(self, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of an export folder.

        Raises:
            DataError: there is none, or it is damaged.
        """
        path = folder / MANIFEST
        try:
            return json_codec.decode(cls, json_codec.parse(path.read_text("utf-8")))
        except FileNotFoundError as error:
            raise DataError(f"'{folder}' has no {MANIFEST}: it is no export folder") from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{path}' cannot be read: {error}; export again") from error
        except json_codec.CodecError as error:
            raise DataError(f"'{path}' {error}; export again") from error
