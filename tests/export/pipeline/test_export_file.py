"""Export of single files."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_export.pipeline.build_metadata import MetadataBuilder
from fmx_export.pipeline.converter import Converter
from fmx_export.pipeline.export_file import FileExporter
from fmx_export.pipeline.formats import Format
from fmx_export.pipeline.manifest import ExportedFile, RejectedFile
from fmx_export.source.reference_predictions import Reference, predict_reference
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits


@pytest.fixture(scope="session")
def reference(source: SourceModel, few: Splits) -> Reference:
    """The trained model's predictions on 500 validation images."""
    return predict_reference(source.model, source.spec, few.validation)


@pytest.fixture
def exporter(
    source: SourceModel, calibration: CalibrationSet, reference: Reference, tmp_path: Path
) -> FileExporter:
    """Exports the trained model into a folder, whatever the accuracy."""
    return FileExporter(
        converter=Converter(source, calibration.images, "x86-64"),
        metadata_builder=MetadataBuilder(source, calibration, "x86-64", reference.output),
        reference=reference,
        folder=tmp_path,
        max_accuracy_drop=1.0,
        progress=lambda _: None,
    )


@pytest.mark.parametrize(
    "file_format", [Format.TFLITE_FLOAT32, Format.ONNX_FLOAT16, Format.TFLITE_INT8]
)
def test_accepted_file(file_format: Format, exporter: FileExporter, tmp_path: Path) -> None:
    """The file is written with its accuracy and test vectors; the result describes it."""
    file = exporter.export(file_format)
    assert isinstance(file, ExportedFile)
    path = tmp_path / file_format.file_name("baseline")
    assert list(tmp_path.iterdir()) == [path]
    content = path.read_bytes()
    assert (file.file, file.size_bytes) == (path.name, len(content))
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    metadata = Classifier(path).metadata
    assert metadata.accuracy == file.accuracy
    assert metadata.test_vectors is not None
    assert [attempt.passed for attempt in file.attempts] == [True] * (
        file_format is Format.TFLITE_INT8
    )


@pytest.mark.parametrize("file_format", [Format.TFLITE_DYNAMIC, Format.ONNX_INT8])
def test_inaccurate_file_is_rejected(
    file_format: Format, exporter: FileExporter, tmp_path: Path
) -> None:
    """No file is left; the reason states the drop, the limit, and that more images help."""
    strict = dataclasses.replace(exporter, max_accuracy_drop=-1.0)
    rejected = strict.export(file_format)
    assert isinstance(rejected, RejectedFile)
    assert rejected.file == file_format.file_name("baseline")
    assert "percentage points, more than the allowed -100; with 500 validation" in rejected.reason
    assert "a single error is 0.20 points" in rejected.reason
    assert bool(rejected.attempts) == (file_format is Format.ONNX_INT8)
    assert not list(tmp_path.iterdir())


def test_reason_without_a_hint(exporter: FileExporter, few: Splits) -> None:
    """If a single error is within the limit, the reason does not ask for more images."""
    perfect = np.eye(10, dtype=np.float32)[few.validation.labels]
    reference = dataclasses.replace(exporter.reference, probabilities=perfect)
    strict = dataclasses.replace(exporter, reference=reference, max_accuracy_drop=0.05)
    rejected = strict.export(Format.TFLITE_DYNAMIC)
    assert isinstance(rejected, RejectedFile)
    assert re.fullmatch(
        r"accuracy drops by \d+\.\d\d percentage points, more than the allowed 5", rejected.reason
    )


def test_wrong_float32_file(exporter: FileExporter, tmp_path: Path) -> None:
    """A float32 file that differs from the reference is an error, and no file is left."""
    inverted = 1 - exporter.reference.probabilities
    reference = dataclasses.replace(exporter.reference, probabilities=inverted)
    with pytest.raises(ExportError, match=r"baseline\.float32\.onnx: a probability differs by"):
        dataclasses.replace(exporter, reference=reference).export(Format.ONNX_FLOAT32)
    assert not list(tmp_path.iterdir())
