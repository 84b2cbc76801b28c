"""Read the Keras model of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_export.pipeline import provenance
from fmx_export.source.keras_model import check_model, load_model
from fmx_export.source.source_model import SourceModel
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Provenance

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["read_trained_model"]


def read_trained_model(
    path: Path,
    *,
    labels: tuple[str, ...],
    spec: InputSpec,
    recipe: str,
    seed: int,
    data: str,
    data_digest: str,
) -> SourceModel:
    """Read a Keras model and describe it with what its training run recorded.

    Args:
        path: the ``model.keras`` of the run.
        labels: names of the classes, in the order of the model's output.
        spec: the model's input.
        recipe: name of the recipe; also the first part of the exported files' names.
        seed: random seed of the training.
        data: name of the training data.
        data_digest: SHA-256 of the training data, in hex.

    Returns:
        The model, its labels, its input and its provenance.

    Raises:
        DataError: the file is missing.
        KerasModelError: it cannot be read, or is not an image classifier that can be exported.
    """
    if not path.is_file():
        raise DataError(f"'{path}' is missing; train again with 'fmx train'")
    model = check_model(load_model(path), path)
    return SourceModel(
        model=model,
        path=path,
        name=recipe,
        labels=labels,
        spec=spec,
        provenance=Provenance(
            recipe=recipe,
            seed=seed,
            data=data,
            data_digest=data_digest,
            keras_digest=provenance.weights_digest(model),
            commit=provenance.commit(),
            versions=provenance.versions(),
        ),
    )
