"""The source model: what the exported files say of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.classifier import Classifier

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.source.source_model import SourceModel


@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_files_state_what_the_source_model_says(
    model_format: str, precision: str, exported: Path, source: SourceModel
) -> None:
    """Name, labels, input and provenance are in every file; int8 files take uint8 input."""
    path = exported / f"{source.name}.{precision}.{model_format}"
    metadata = Classifier(path).metadata
    dtype = "uint8" if precision == "int8" else "float32"
    assert metadata.name == source.name
    assert metadata.labels == source.labels
    assert metadata.input == dataclasses.replace(source.spec, dtype=dtype)
    assert metadata.provenance == source.provenance


def test_source_models_cannot_change(source: SourceModel) -> None:
    """What was checked is what is exported."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        source.labels = ()  # type: ignore[misc]
