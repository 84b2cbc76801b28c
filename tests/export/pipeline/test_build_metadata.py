"""The metadata of one exported file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from fmx_export.common.calibration import CalibrationSet, calibration_digest
from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.pipeline.build_metadata import MetadataBuilder
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_runtime.classifier import Classifier

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.common.quantization_config import Target
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

NAMES = [file_format.file_name("baseline") for file_format in (*FLOAT32, *INT8)]


@pytest.mark.parametrize("name", NAMES)
def test_metadata_of_exported_files(
    name: str, exported: Path, source: SourceModel, few: Splits
) -> None:
    """Each file states its input, output, labels, provenance and calibration."""
    metadata = Classifier(exported / name).metadata
    is_int8 = metadata.precision == "int8"
    assert name == f"{metadata.name}.{metadata.precision}.{name.rpartition('.')[2]}"
    assert metadata.input.dtype == ("uint8" if is_int8 else "float32")
    assert dataclasses.replace(metadata.input, dtype="float32") == source.spec
    assert (metadata.labels, metadata.output) == (source.labels, "probabilities")
    assert metadata.provenance == source.provenance
    assert (metadata.quantization is not None) == is_int8
    if metadata.quantization is not None:
        assert metadata.quantization.size == 200
        assert metadata.quantization.split == few.train.name
        assert metadata.quantization.digest == calibration_digest(few.train.images[:200])


@pytest.mark.parametrize("file_format", Format)
def test_metadata_of_each_format(
    file_format: Format, source: SourceModel, calibration: CalibrationSet
) -> None:
    """Only int8 files have uint8 input, and only calibrated files state their quantization."""
    builder = MetadataBuilder(source, calibration, "x86-64", "logits")
    metadata = builder.build(file_format, QuantizationConfig("entropy", ("a", "b")))
    assert (metadata.precision, metadata.output) == (file_format.precision, "logits")
    assert metadata.input.dtype == ("uint8" if file_format in INT8 else "float32")
    assert (metadata.accuracy, metadata.test_vectors) == (None, None)
    assert (metadata.quantization is not None) == file_format.needs_calibration
    if metadata.quantization is not None:
        assert metadata.quantization.calibration == "entropy"
        assert metadata.quantization.excluded_layers == ("a", "b")


@pytest.mark.parametrize(("target", "bits"), [("x86-64", 7), ("arm64", 8)])
def test_scheme_states_the_weight_bits(
    target: Target, bits: int, source: SourceModel, calibration: CalibrationSet
) -> None:
    """The scheme of int8 ONNX names the bits of the weights, which depend on the target."""
    builder = MetadataBuilder(source, calibration, target, "probabilities")
    quantization = builder.build(Format.ONNX_INT8, QuantizationConfig()).quantization
    assert quantization is not None
    assert f"{bits}-bit per-channel weights" in quantization.scheme
