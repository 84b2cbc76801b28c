"""Export one file: convert, measure, accept or reject, write with metadata, verify."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.pipeline.accuracy_control import accuracy_drop, search_config
from fmx_export.pipeline.formats import Format
from fmx_export.pipeline.manifest import ExportedFile, RejectedFile
from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.pipeline.select_test_vectors import select_stable_test_vectors, select_test_vectors
from fmx_export.pipeline.verify import measure, verify_metadata
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, ModelFileError
from fmx_runtime.model_file import test_vectors
from fmx_runtime.support.atomic import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_export.pipeline.build_metadata import MetadataBuilder
    from fmx_export.pipeline.converter import Converter
    from fmx_export.source.reference_predictions import Reference
    from fmx_runtime.model_file.metadata import Accuracy

__all__ = ["FileExporter"]


@dataclass(frozen=True, kw_only=True)
class FileExporter:
    """Exports the files of one source model into a staging folder, one after the other.

    Attributes:
        converter: converts and quantizes the source model.
        metadata_builder: builds the files' metadata.
        reference: the Keras model's predictions on the validation images.
        folder: the staging folder.
        max_accuracy_drop: largest allowed accuracy drop, as a fraction.
        progress: called with one line about each step.
    """

    converter: Converter
    metadata_builder: MetadataBuilder
    reference: Reference
    folder: Path
    max_accuracy_drop: float
    progress: Callable[[str], None]

    def export(self, file_format: Format) -> ExportedFile | RejectedFile:
        """Write and verify one file.

        Returns:
            The file; or the reason why it was rejected, and then no file is left in the folder.

        Raises:
            ExportError: a float32 file cannot be converted, or differs from the Keras model.
            ModelFileError: a float32 file cannot be opened again.
            OutputError: the folder cannot be written to.
        """
        name = self._file_name(file_format)
        self.progress(f"converting and verifying {name}")
        if file_format.precision == "float32":
            return self._export(file_format)
        try:
            if file_format.precision == "int8":
                return self._export_int8(file_format)
            return self._export(file_format)
        except (ExportError, ModelFileError) as error:
            return RejectedFile(name, str(error))

    def _file_name(self, file_format: Format) -> str:
        return file_format.file_name(self.metadata_builder.source.name)

    def _export(self, file_format: Format) -> ExportedFile | RejectedFile:
        """Export a file that is quantized in one way only, or not at all."""
        config = QuantizationConfig()
        model = self.converter.convert(file_format)
        accuracy = self._measure(file_format, model, config)
        drop = accuracy_drop(accuracy)
        if file_format.precision != "float32" and drop > self.max_accuracy_drop:
            return RejectedFile(self._file_name(file_format), self._rejection_reason(drop))
        return self._write(file_format, model, config, accuracy)

    def _export_int8(self, file_format: Format) -> ExportedFile | RejectedFile:
        """Export the int8 file that accuracy control accepts."""
        name = self._file_name(file_format)
        accepted, attempts = search_config(
            self.converter.quantizer(file_format),
            lambda model, config: self._measure(file_format, model, config),
            max_accuracy_drop=self.max_accuracy_drop,
            progress=lambda step: self.progress(f"{name}: {step}"),
        )
        if accepted is None:
            smallest = min(accuracy_drop(attempt.accuracy) for attempt in attempts)
            return RejectedFile(name, self._rejection_reason(smallest), attempts)
        model, config = accepted.model, accepted.config
        file = self._write(file_format, model, config, attempts[-1].accuracy)
        float_types = [node.type for node in read_graph(model).operators if node.is_float]
        return dataclasses.replace(
            file, attempts=attempts, float_operators=tuple(dict.fromkeys(float_types))
        )

    def _rejection_reason(self, drop: float) -> str:
        reason = (
            f"accuracy drops by {100 * drop:.2f} percentage points, more than the allowed "
            f"{100 * self.max_accuracy_drop:g}"
        )
        size = len(self.reference.images.images)
        if 1 / size <= self.max_accuracy_drop:
            return reason
        return (
            f"{reason}; with {size:,} validation images a single error is {100 / size:.2f} points, "
            "use more images"
        )

    def _measure(self, file_format: Format, model: bytes, config: QuantizationConfig) -> Accuracy:
        """Measure a model in its real runtime, as a temporary file with preliminary metadata."""
        path = self.folder / self._file_name(file_format)
        metadata = self.metadata_builder.build(file_format, config)
        write(path, write_metadata(model, metadata))
        try:
            return measure(path, self.reference)
        finally:
            path.unlink()

    def _write(
        self, file_format: Format, model: bytes, config: QuantizationConfig, accuracy: Accuracy
    ) -> ExportedFile:
        """Write the file with its complete metadata, and verify its test vectors."""
        path = self.folder / self._file_name(file_format)
        metadata = self.metadata_builder.build(file_format, config)
        write(path, write_metadata(model, metadata))
        if file_format is Format.TFLITE_INT8:
            inputs = select_stable_test_vectors(self.reference, model)
        else:
            inputs = select_test_vectors(self.reference)
        probabilities = Classifier(path).predict(inputs)
        complete = dataclasses.replace(
            metadata, accuracy=accuracy, test_vectors=test_vectors.encode(inputs, probabilities)
        )
        content = write_metadata(model, complete)
        write(path, content)
        verify_metadata(path)
        return ExportedFile(
            file=path.name,
            format=file_format.model_format,
            precision=file_format.precision,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            accuracy=accuracy,
        )
