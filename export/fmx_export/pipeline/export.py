"""Export a Keras model: a folder of verified model files and their manifest."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from fmx_export.common.calibration import check_calibration_images
from fmx_export.pipeline.accuracy_control import MAX_ACCURACY_DROP
from fmx_export.pipeline.build_metadata import MetadataBuilder
from fmx_export.pipeline.converter import Converter
from fmx_export.pipeline.export_file import FileExporter
from fmx_export.pipeline.layer_report import write_layer_report
from fmx_export.pipeline.manifest import MANIFEST, ExportedFile, Manifest, RejectedFile
from fmx_export.pipeline.publish import publishing
from fmx_export.source.reference_predictions import predict_reference
from fmx_runtime.errors import ExportError
from fmx_runtime.support.atomic import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.common.quantization_config import Target
    from fmx_export.pipeline.formats import Format
    from fmx_export.source.reference_predictions import ValidationImages
    from fmx_export.source.source_model import SourceModel

__all__ = ["export", "host_target"]


def host_target() -> Target:
    """Return the quantization target that matches this machine's processor."""
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86-64"


def export(
    source: SourceModel,
    *,
    formats: Sequence[Format],
    calibration: CalibrationSet,
    validation: ValidationImages,
    folder: Path,
    progress: Callable[[str], None],
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
    target: Target | None = None,
    layer_report: bool = False,
) -> Manifest:
    """Export a Keras model to model files, and verify each in its real runtime.

    All files are written and verified in a staging folder, and moved to ``folder`` together at
    the end. If a float32 file fails, ``folder`` is not changed. Any other file that cannot be
    made, or whose accuracy drops too much, is rejected; the manifest states the reason.

    Args:
        source: the Keras model, its labels, input and provenance.
        formats: the formats to write.
        calibration: the calibration set; used only by formats that need calibration.
        validation: images that the model was not trained on, to measure the accuracy with.
        folder: created where it is missing. Files of an earlier export in it are replaced.
        progress: called with one line about each step.
        max_accuracy_drop: largest allowed accuracy drop against the Keras model, as a fraction.
        target: the processor that int8 files are made for; None for this machine's.
        layer_report: also write a quantization error report for each int8 format.

    Returns:
        The manifest: the files that were written, and those that were rejected.

    Raises:
        ExportError: a float32 file cannot be converted or predicts otherwise than the Keras
            model, or the Keras model does not have the stated input shape or number of labels.
        CalibrationError: the calibration images do not fit the model.
        OutputError: the folder cannot be written to.
    """
    _check_shapes(source)
    if any(file_format.needs_calibration for file_format in formats):
        check_calibration_images(calibration.images, source.spec)
    with publishing(folder, [each.file_name(source.name) for each in formats]) as staging:
        progress(f"running the Keras model on {len(validation.images):,} validation images")
        reference = predict_reference(source.model, source.spec, validation)
        target = target or host_target()
        converter = Converter(source, calibration.images, target)
        exporter = FileExporter(
            converter=converter,
            metadata_builder=MetadataBuilder(source, calibration, target, reference.output),
            reference=reference,
            folder=staging,
            max_accuracy_drop=max_accuracy_drop,
            progress=progress,
        )
        results = [exporter.export(file_format) for file_format in formats]
        reports: list[str] = []
        for file_format in formats:
            if layer_report and file_format.precision == "int8":
                name = file_format.file_name(source.name)
                quantizer = converter.quantizer(file_format)
                reports += write_layer_report(quantizer, name, staging, progress)
        manifest = Manifest(
            name=source.name,
            keras_model=os.path.relpath(source.path.resolve(), folder.resolve()),
            provenance=source.provenance,
            files=tuple(file for file in results if isinstance(file, ExportedFile)),
            rejected=tuple(file for file in results if isinstance(file, RejectedFile)),
            layer_reports=tuple(reports),
        )
        write(staging / MANIFEST, manifest.to_json())
    return manifest


def _check_shapes(source: SourceModel) -> None:
    """Check that the model has the stated input shape and one output for each label."""
    stated = (source.spec.shape, (len(source.labels),))
    actual = (source.model.input_shape[1:], source.model.output_shape[1:])
    if stated != actual:
        raise ExportError(
            f"'{source.path}' has the input shape {actual[0]} and the output shape {actual[1]}; "
            f"its input specification and labels state {stated[0]} and {stated[1]}"
        )
