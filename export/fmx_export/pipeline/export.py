"""A Keras model -> a folder of verified model files and their manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fmx_export.common.calibration import calibration_digest, check_calibration_images
from fmx_export.common.quantization_config import WEIGHT_BITS, QuantizationConfig
from fmx_export.onnx.convert import export_onnx, onnx_to_float16, serialize
from fmx_export.onnx.quantizer import OnnxQuantizer
from fmx_export.pipeline import layer_report
from fmx_export.pipeline.accuracy_control import MAX_ACCURACY_DROP, drop, search
from fmx_export.pipeline.formats import Format
from fmx_export.pipeline.manifest import MANIFEST, ExportedFile, Manifest, Refused
from fmx_export.pipeline.metadata_writer import embed
from fmx_export.pipeline.publish import publishing
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.pipeline.verify import measure, select_test_vectors, verify_metadata
from fmx_export.source.reference import Reference, predict_reference
from fmx_export.tflite import quantize
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.kernels import kernel_difference
from fmx_export.tflite.quantizer import TFLiteQuantizer
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, ModelFileError
from fmx_runtime.model_file import test_vectors
from fmx_runtime.model_file.metadata import ModelMetadata, Quantization
from fmx_runtime.support.atomic import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.common.quantization_config import Target
    from fmx_export.common.quantizer import Quantizer
    from fmx_export.source.reference import ValidationImages
    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import Accuracy

__all__ = ["export", "this_processor"]

_SCHEMES = {
    Format.TFLITE_INT8: "int8 per-channel weights, int8 activations, uint8 in and out",
    Format.TFLITE_INT16X8: "int8 per-channel weights, int16 activations, float32 in and out",
    Format.ONNX_INT8: "QDQ: {bits}-bit per-channel weights, uint8 activations, uint8 in, float out",
}

_CLOSE_CALLS = 200
"""Held-out images on which sorts of kernels are compared."""


def this_processor() -> Target:
    """The target that is nearest to the machine that this runs on."""
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86-64"


def export(
    source: SourceModel,
    *,
    formats: Sequence[Format],
    calibration: CalibrationSet,
    held_out: ValidationImages,
    folder: Path,
    progress: Callable[[str], None],
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
    target: Target | None = None,
    debug: bool = False,
) -> Manifest:
    """Write model files, each verified in its real runtime.

    All files are made and verified beside their final place, and moved into it together at the
    end: when a float32 file fails, nothing in ``folder`` has changed. Another file that cannot be
    made, or loses too much accuracy, is left out, and the manifest tells why.

    Args:
        source: the Keras model and what is known of it.
        formats: of the files.
        calibration: from the training images; asked only for formats that are calibrated.
        held_out: images that the model was not trained on.
        folder: made where it is missing; the files of an earlier export in it are replaced.
        progress: called with one line about each step.
        max_accuracy_drop: largest loss of accuracy against the Keras model, as a fraction.
        target: the processor that int8 files are laid out for; None is this one.
        debug: whether to write what each layer of the int8 files loses.

    Returns:
        What was written, and what was refused.

    Raises:
        ExportError: a float32 file cannot be made, or does not answer as the model does; or the
            model has another input or number of classes than stated.
        CalibrationError: the calibration images do not fit the model.
        OutputError: the folder cannot be written to.
    """
    _check_shapes(source)
    if any(form.calibrated for form in formats):
        check_calibration_images(calibration.images, source.spec)
    with publishing(folder, [form.file_name(source.name) for form in formats]) as staging:
        progress(f"asking the Keras model about {len(held_out.images):,} held-out images")
        job = _Job(
            source=source,
            calibration=calibration,
            reference=predict_reference(source.model, source.spec, held_out),
            folder=staging,
            max_accuracy_drop=max_accuracy_drop,
            target=target or this_processor(),
            progress=progress,
        )
        made = [job.make(form) for form in formats]
        reports = [name for form in formats if debug for name in job.compare_layers(form)]
        manifest = Manifest(
            name=source.name,
            keras_model=os.path.relpath(source.path.resolve(), folder.resolve()),
            provenance=source.provenance,
            files=tuple(file for file in made if isinstance(file, ExportedFile)),
            refused=tuple(file for file in made if isinstance(file, Refused)),
            reports=tuple(reports),
        )
        write(staging / MANIFEST, manifest.to_json())
    return manifest


def _check_shapes(source: SourceModel) -> None:
    """Refuse a model that is no classifier of such images into so many classes."""
    stated = (source.spec.shape, (len(source.labels),))
    found = (source.model.input_shape[1:], source.model.output_shape[1:])
    if stated != found:
        raise ExportError(
            f"'{source.path}': input and output are stated as {stated[0]} and {stated[1]}, "
            f"the model has {found[0]} and {found[1]}"
        )


@dataclass(frozen=True)
class _Images:
    """Satisfies `ValidationImages`."""

    name: str
    images: NDArray[np.uint8]
    labels: None = None


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One export: what its files have in common, each made once."""

    source: SourceModel
    calibration: CalibrationSet
    reference: Reference
    folder: Path
    max_accuracy_drop: float
    target: Target
    progress: Callable[[str], None]

    def make(self, form: Format) -> ExportedFile | Refused:
        """One file, verified; or why there is none."""
        name = form.file_name(self.source.name)
        self.progress(f"converting and verifying {name}")
        if form.precision == "float32":
            model = self._float_model(form)
            return self._publish(form, model, QuantizationConfig(), self._measure(form, model, QuantizationConfig()))
        try:
            if form.precision == "int8":
                return self._make_int8(form)
            model = self._converted(form)
            accuracy = self._measure(form, model, QuantizationConfig())
        except (ExportError, ModelFileError) as error:
            return Refused(name, str(error))
        if drop(accuracy) > self.max_accuracy_drop:
            return Refused(name, self._too_much(drop(accuracy)))
        return self._publish(form, model, QuantizationConfig(), accuracy)

    def compare_layers(self, form: Format) -> tuple[str, ...]:
        """Write what each layer of an int8 file loses; the names of the table and the image."""
        if form.precision != "int8":
            return ()
        name = form.file_name(self.source.name)
        self.progress(f"comparing the layers of {name} with float")
        try:
            errors = self._quantizer(form).layer_errors()
        except ExportError as error:  # the files are good without
            self.progress(f"{name}: {error}")
            return ()
        table, plot = f"{name}.layers.md", f"{name}.layers.png"
        layer_report.write_table(errors, self.folder / table)
        layer_report.write_plot(errors, self.folder / plot)
        return table, plot

    @cached_property
    def _tflite(self) -> bytes:
        return export_tflite(self.source.model, spec=self.source.spec)

    @cached_property
    def _onnx(self) -> onnx.ModelProto:
        return export_onnx(self.source.model, spec=self.source.spec)

    @cached_property
    def _tflite_quantizer(self) -> TFLiteQuantizer:
        return TFLiteQuantizer(
            self.source.model, self._tflite, self.source.spec, self.calibration.images
        )

    @cached_property
    def _onnx_quantizer(self) -> OnnxQuantizer:
        return OnnxQuantizer(self._onnx, self.source.spec, self.calibration.images, self.target)

    def _quantizer(self, form: Format) -> Quantizer:
        return self._tflite_quantizer if form.model_format == "tflite" else self._onnx_quantizer

    def _float_model(self, form: Format) -> bytes:
        return self._tflite if form.model_format == "tflite" else serialize(self._onnx)

    def _converted(self, form: Format) -> bytes:
        match form:
            case Format.TFLITE_FLOAT16:
                return quantize.to_float16(self._tflite)
            case Format.TFLITE_DYNAMIC:
                return quantize.to_dynamic_range(self._tflite)
            case Format.TFLITE_INT16X8:
                ranges = self._tflite_quantizer.ranges(QuantizationConfig())
                return quantize.to_int16x8(self._tflite, ranges=ranges)
            case Format.ONNX_FLOAT16:
                return serialize(onnx_to_float16(self._onnx))
        raise AssertionError(form)

    def _make_int8(self, form: Format) -> ExportedFile | Refused:
        passed, attempts = search(
            self._quantizer(form),
            lambda model, config: self._measure(form, model, config),
            max_accuracy_drop=self.max_accuracy_drop,
            progress=lambda step: self.progress(f"{form.file_name(self.source.name)}: {step}"),
        )
        if passed is None:
            least = min(drop(attempt.accuracy) for attempt in attempts)
            name = form.file_name(self.source.name)
            return Refused(name, self._too_much(least), attempts)
        file = self._publish(form, passed.model, passed.config, attempts[-1].accuracy)
        in_float = [node.type for node in read_graph(passed.model).operators if node.is_float]
        return dataclasses.replace(
            file, attempts=attempts, float_operators=tuple(dict.fromkeys(in_float))
        )

    def _too_much(self, lost: float) -> str:
        reason = (
            f"loses {100 * lost:.2f} points of accuracy, more than {100 * self.max_accuracy_drop:g}"
        )
        one = 1 / len(self.reference.images.images)
        if one <= self.max_accuracy_drop:
            return reason
        return f"{reason}; a single one of so few held-out images is {100 * one:.2f}: give more"

    def _measure(self, form: Format, model: bytes, config: QuantizationConfig) -> Accuracy:
        """Ask a model in its real runtime; it gets metadata to be asked by."""
        path = self.folder / form.file_name(self.source.name)
        write(path, embed(model, self._metadata(form, config)))
        try:
            return measure(path, self.reference)
        finally:
            path.unlink()

    def _publish(self, form: Format, model: bytes, config: QuantizationConfig, accuracy: Accuracy) -> ExportedFile:
        """Write the file with all that it knows of itself, and open it once more."""
        path = self.folder / form.file_name(self.source.name)
        draft = self._metadata(form, config)
        write(path, embed(model, draft))
        examples = self._examples(form, model)
        answers = Classifier(path).predict(examples)
        metadata = dataclasses.replace(
            draft, accuracy=accuracy, test_vectors=test_vectors.encode(examples, answers)
        )
        content = embed(model, metadata)
        write(path, content)
        verify_metadata(path)
        return ExportedFile(
            file=path.name,
            format=form.model_format,
            precision=form.precision,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            accuracy=accuracy,
        )

    def _examples(self, form: Format, model: bytes) -> NDArray[np.uint8]:
        """The images that travel in the file.

        Of int8 TFLite, those of the close calls that both sorts of kernels answer most alike. The
        others tell an older interpreter from this one, where a sound one is to be told from a
        broken one.
        """
        if form is not Format.TFLITE_INT8:
            return select_test_vectors(self.reference)
        images, probabilities = self.reference.images, self.reference.probabilities
        best_two = np.sort(probabilities, axis=1)[:, -2:]
        close = np.argsort(np.ptp(best_two, axis=1), kind="stable")[:_CLOSE_CALLS]
        apart = kernel_difference(model, images.images[close])
        steadiest = close[np.argsort(apart, kind="stable")[: max(len(close) // 4, 3)]]
        chosen = _Images(images.name, images.images[steadiest])
        return select_test_vectors(
            Reference(chosen, self.reference.output, probabilities[steadiest])
        )

    def _metadata(self, form: Format, config: QuantizationConfig) -> ModelMetadata:
        source = self.source
        spec = source.spec
        if form.precision == "int8":
            spec = dataclasses.replace(spec, dtype="uint8")
        return ModelMetadata(
            name=source.name,
            precision=form.precision,
            labels=source.labels,
            input=spec,
            output=self.reference.output,
            provenance=source.provenance,
            quantization=self._quantization(form, config) if form.calibrated else None,
        )

    def _quantization(self, form: Format, config: QuantizationConfig) -> Quantization:
        return Quantization(
            scheme=_SCHEMES[form].format(bits=WEIGHT_BITS[self.target]),
            calibration=config.calibration,
            split=self.calibration.split,
            size=len(self.calibration.images),
            seed=self.calibration.seed,
            digest=calibration_digest(self.calibration.images),
            excluded_layers=config.excluded_layers,
        )
