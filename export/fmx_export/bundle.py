"""A Keras model -> a folder of verified model files and their manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_export.calibrate import calibration_digest, calibration_pixels
from fmx_export.embed import embed
from fmx_export.manifest import MANIFEST, ExportedFile, Manifest
from fmx_export.onnx import export_onnx
from fmx_export.tflite import export_tflite
from fmx_export.verify import ask_keras, measure, verify_card
from fmx_runtime import golden
from fmx_runtime.atomic import make_folder, replacing, write
from fmx_runtime.card import ModelCard, Quantization
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmx_export.verify import LabelledPictures, Reference
    from fmx_runtime.backend import ModelFormat
    from fmx_runtime.card import InputSpec, Precision, Provenance

__all__ = ["Calibration", "Source", "export"]

_EXPORTERS: dict[ModelFormat, Callable[..., bytes]] = {
    "tflite": export_tflite,
    "onnx": export_onnx,
}
_GOLDEN_SIZE = 3
_INT8_SCHEME: dict[ModelFormat, str] = {
    "tflite": "full integer: int8 per-channel weights, int8 activations, uint8 in and out",
    "onnx": "QDQ: int8 per-channel weights, uint8 activations, uint8 in, float softmax",
}


@dataclass(frozen=True)
class Source:
    """What is exported."""

    model: Any
    """Built Keras model."""
    path: Path
    """Where it was loaded from."""
    name: str
    """First part of the files' names."""
    labels: tuple[str, ...]
    spec: InputSpec
    """The Keras model's input, float32."""
    provenance: Provenance


@dataclass(frozen=True)
class Calibration:
    """The sample of training pictures that sets the activations' ranges."""

    images: NDArray[np.uint8]
    """uint8 ``(n, height, width, channels)``."""
    split: str
    seed: int


def export(
    source: Source,
    *,
    precisions: Sequence[Precision],
    calibration: Calibration,
    held_out: LabelledPictures,
    folder: Path,
    progress: Callable[[str], None],
) -> Manifest:
    """Write TFLite and ONNX files of each precision, each verified in its real runtime.

    All files are made and verified beside their final place, and renamed into it together at the
    end: when one fails, nothing in ``folder`` has changed.

    Args:
        source: the Keras model and what is known of it.
        precisions: of the files.
        calibration: for int8, from the training pictures.
        held_out: pictures that the model was not trained on.
        folder: made where it is missing; files of the same names are replaced.
        progress: called with one line about each step.

    Returns:
        What was written.

    Raises:
        ExportError: a file cannot be made, or is not good enough; or the model has another input
            or number of classes than stated.
        OutputError: the folder cannot be written to.
    """
    _check_shapes(source)
    make_folder(folder)
    _refuse_folders(folder, source, precisions)
    progress(f"asking the Keras model about {len(held_out.labels):,} held-out pictures")
    reference = ask_keras(source.model, source.spec, held_out)
    with tempfile.TemporaryDirectory(prefix=".fmx-", dir=folder) as staging:
        files = tuple(
            _export_file(
                source,
                form,
                precision,
                calibration=calibration,
                reference=reference,
                folder=Path(staging),
                progress=progress,
            )
            for precision in precisions
            for form in _EXPORTERS
        )
        manifest = Manifest(
            name=source.name,
            keras_model=os.path.relpath(source.path.resolve(), folder.resolve()),
            provenance=source.provenance,
            files=files,
        )
        write(Path(staging, MANIFEST), manifest.to_json())
        for name in (*(file.file for file in files), MANIFEST):
            with replacing(folder / name) as temporary:
                Path(staging, name).replace(temporary)
    return manifest


def _check_shapes(source: Source) -> None:
    """Refuse a model that is no classifier of such pictures into so many classes."""
    stated = (source.spec.shape, (len(source.labels),))
    found = (source.model.input_shape[1:], source.model.output_shape[1:])
    if stated != found:
        raise ExportError(
            f"'{source.path}': input and output are stated as {stated[0]} and {stated[1]}, "
            f"the model has {found[0]} and {found[1]}"
        )


def _refuse_folders(folder: Path, source: Source, precisions: Sequence[Precision]) -> None:
    """Refuse, before the work, what would make the last step fail half-way."""
    names = [_file_name(source, precision, form) for precision in precisions for form in _EXPORTERS]
    for name in (*names, MANIFEST):
        if (folder / name).is_dir():
            raise OutputError(f"cannot write '{folder / name}': a folder of that name is there")


def _file_name(source: Source, precision: Precision, form: ModelFormat) -> str:
    return f"{source.name}.{precision}.{form}"


def _export_file(
    source: Source,
    form: ModelFormat,
    precision: Precision,
    *,
    calibration: Calibration,
    reference: Reference,
    folder: Path,
    progress: Callable[[str], None],
) -> ExportedFile:
    path = folder / _file_name(source, precision, form)
    progress(f"converting and verifying {path.name}")
    sample = calibration_pixels(calibration.images)
    model = _EXPORTERS[form](
        source.model, precision=precision, spec=source.spec, calibration=sample
    )
    draft = ModelCard(
        name=source.name,
        precision=precision,
        labels=source.labels,
        input=dataclasses.replace(source.spec, dtype="uint8" if precision == "int8" else "float32"),
        output=reference.output,
        provenance=source.provenance,
        quantization=_quantization(form, calibration, sample) if precision == "int8" else None,
    )
    write(path, embed(model, draft))
    accuracy = measure(path, reference)
    examples = reference.pictures.images[:_GOLDEN_SIZE]
    answers = Classifier(path).predict(examples)
    card = dataclasses.replace(draft, accuracy=accuracy, golden=golden.encode(examples, answers))
    content = embed(model, card)
    write(path, content)
    verify_card(path)
    return ExportedFile(
        file=path.name,
        format=form,
        precision=precision,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        accuracy=accuracy,
    )


def _quantization(
    form: ModelFormat, calibration: Calibration, sample: NDArray[np.uint8]
) -> Quantization:
    return Quantization(
        scheme=_INT8_SCHEME[form],
        calibration="min-max",
        split=calibration.split,
        size=len(sample),
        seed=calibration.seed,
        digest=calibration_digest(sample),
    )
