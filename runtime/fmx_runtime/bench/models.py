"""The models to measure: open them and check that they fit the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_runtime.backends.base import detect_format
from fmx_runtime.bench.result import Failure
from fmx_runtime.errors import DataError, FmxError, ModelFileError
from fmx_runtime.labeled_images import few_of
from fmx_runtime.model_file.checksum import sha256
from fmx_runtime.model_file.container import read_checked_metadata, read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from fmx_runtime.labeled_images import LabeledImages
    from fmx_runtime.model_file.metadata import ModelMetadata, Precision

__all__ = ["Model", "Selection", "open_model", "open_models", "select_models"]

_WORKER = "fmx_runtime.bench.worker"


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A model to measure.

    Attributes:
        path: the file that the worker process opens.
        name: the name in reports.
        format: ``keras``, ``tflite`` or ``onnx``.
        precision: of weights and activations.
        metadata: describes the model's input and its labels.
        size_bytes: of the file.
        sha256: of the file, in hex.
        worker: the module that the worker process runs.
        arguments: further arguments of the worker, see `fmx_runtime.bench.process.measure`.
        repeats: the most repeats to measure, for a model that takes seconds to load; such a model
            takes part in one repetition of the throughput. None for all.
    """

    path: Path
    name: str
    format: Literal["keras", "tflite", "onnx"]
    precision: Precision
    metadata: ModelMetadata
    size_bytes: int
    sha256: str
    worker: str = _WORKER
    arguments: tuple[str, ...] = ()
    repeats: int | None = None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The models that are measured together, and the images that they are measured on.

    Attributes:
        models: in the order of the reports, at least one; all have the same labels.
        failures: models that were asked for and cannot be measured.
        labeled: the images that can be read; their classes are in the order of the models' labels.
    """

    models: tuple[Model, ...]
    failures: tuple[Failure, ...]
    labeled: LabeledImages


def open_model(path: Path) -> Model:
    """Read a model file and its metadata.

    Raises:
        ModelFileError: The file is missing, is no model, is damaged or has no metadata.
    """
    content = read_model(path)
    try:
        metadata = read_checked_metadata(content)
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error
    return Model(
        path=path,
        name=path.name,
        format="onnx" if detect_format(content) == "onnx" else "tflite",
        precision=metadata.precision,
        metadata=metadata,
        size_bytes=len(content),
        sha256=sha256(content),
    )


def open_models(paths: Iterable[Path]) -> tuple[tuple[Model, ...], tuple[Failure, ...]]:
    """Open each file once, so that errors show before anything is measured.

    Args:
        paths: model files; duplicates are ignored.

    Returns:
        The models, and the reasons why the other files cannot be measured.

    Raises:
        ModelFileError: No file can be opened.
    """
    models, failures = [], []
    for path in dict.fromkeys(paths):
        try:
            models.append(open_model(path))
        except FmxError as error:
            failures.append(Failure(name=path.name, reason=str(error)))
    if not models:
        raise ModelFileError(failures[0].reason if failures else "there is no model to measure")
    return tuple(models), tuple(failures)


def select_models(
    models: Sequence[Model],
    labeled: LabeledImages,
    failures: Sequence[Failure] = (),
    *,
    report: Callable[[str], None],
) -> Selection:
    """Select the models whose labels are the classes of the images.

    The first model that fits decides about the order of the classes. Images that cannot be read are
    left out here, before anything is measured, so that no model fails because of an image.

    Args:
        models: from `open_models`, at least one.
        labeled: the images.
        failures: models that could not be opened.
        report: called with a line for each image that cannot be read.

    Returns:
        The selection; a model with other labels is one of its failures.

    Raises:
        ModelFileError: No model fits the images.
        DataError: Too many images cannot be read.
    """
    fitting: list[Model] = []
    failed, ordered = list(failures), labeled
    for model in models:
        try:
            if fitting:
                _check_labels(model, fitting[0])
            else:
                ordered = labeled.with_class_names(model.metadata.labels)
        except DataError as error:
            failed.append(Failure(name=model.name, reason=str(error)))
        else:
            fitting.append(model)
    if not fitting:
        raise ModelFileError(failed[0].reason)
    readable = ordered.readable(fitting[0].metadata.input, report=report)
    return Selection(models=tuple(fitting), failures=tuple(failed), labeled=readable)


def _check_labels(model: Model, first: Model) -> None:
    """Check that two models have the same labels in the same order.

    Raises:
        DataError: They differ.
    """
    labels, expected = model.metadata.labels, first.metadata.labels
    if labels != expected:
        raise DataError(
            f"its labels ({few_of(labels)}) are not those of '{first.name}' "
            f"({few_of(expected)}); benchmark it alone"
        )
