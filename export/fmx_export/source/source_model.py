"""The model that is exported, with everything that goes into the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec, Provenance

__all__ = ["SourceModel"]


@dataclass(frozen=True)
class SourceModel:
    """A trained Keras model that is exported.

    Attributes:
        model: built Keras model, ``(n, height, width, channels)`` -> ``(n, classes)``.
        path: file that it was loaded from.
        name: first part of the exported files' names.
        labels: names of the classes, in the order of the model's output.
        spec: the Keras model's input, float32.
        provenance: how the model was trained.
    """

    model: Any
    path: Path
    name: str
    labels: tuple[str, ...]
    spec: InputSpec
    provenance: Provenance
