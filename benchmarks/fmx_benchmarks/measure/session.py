"""Select what ``fmx bench`` measures: model files, beside their Keras model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fmx_runtime.bench import models
from fmx_runtime.bench.models import Model, Selection
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.checksum import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fmx_runtime.bench.result import Run
    from fmx_runtime.labeled_images import LabeledImages

__all__ = ["model_files", "select_models", "with_macs"]

_KERAS_WORKER = "fmx_benchmarks.measure.keras_worker"
_KERAS_REPEATS = 3
"""Few, because TensorFlow takes seconds to load in each of them."""


def select_models(
    files: Sequence[Path],
    labeled: LabeledImages,
    *,
    keras_model: Path | None,
    report: Callable[[str], None],
) -> Selection:
    """Open all models once, so that errors show before anything is measured.

    Args:
        files: model files.
        labeled: the images.
        keras_model: the ``.keras`` file that the files were exported from; None to leave it out.
        report: called with a line for each image that cannot be read.

    Returns:
        The models, the Keras model first, and the images in the order of their labels.

    Raises:
        DataError: There are no files, or too many images cannot be read.
        ModelFileError: No file can be measured on the images.
    """
    if not files:
        raise DataError("there is no model file to benchmark; export some with 'fmx export'")
    opened, failures = models.open_models(files)
    selection = models.select_models(opened, labeled, failures, report=report)
    if keras_model is None:
        return selection
    first = _open_keras_model(keras_model, selection.models)
    return dataclasses.replace(selection, models=(first, *selection.models))


def model_files(selection: Selection) -> tuple[Path, ...]:
    """Return the paths of the model files, without the Keras model."""
    return tuple(model.path for model in selection.models if model.format != "keras")


def with_macs(run: Run, macs: Mapping[str, int | None]) -> Run:
    """Return the run with its models' multiply-accumulates for one image.

    Args:
        run: of any machine.
        macs: a file's SHA-256 -> its multiply-accumulates.
    """
    variants = tuple(
        dataclasses.replace(variant, macs=macs.get(variant.sha256)) for variant in run.variants
    )
    return dataclasses.replace(run, variants=variants)


def _open_keras_model(path: Path, exported: Sequence[Model]) -> Model:
    """Return the Keras model; its input is described by a file that was exported from it."""
    content = path.read_bytes()
    metadata = next(
        (one.metadata for one in exported if one.precision == "float32"), exported[0].metadata
    )
    keras_input = dataclasses.replace(metadata.input, dtype="float32")
    # the worker needs neither the test vectors nor what else is about the exported file
    keras_metadata = dataclasses.replace(
        metadata, input=keras_input, test_vectors=None, precision="float32"
    )
    return Model(
        path=path,
        name=path.name,
        format="keras",
        precision="float32",
        metadata=keras_metadata,
        size_bytes=len(content),
        sha256=sha256(content),
        worker=_KERAS_WORKER,
        arguments=(keras_metadata.to_json(),),
        repeats=_KERAS_REPEATS,
    )
