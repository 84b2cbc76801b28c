"""Reading the Keras model of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_export.common.errors import InvalidKerasFileError
from fmx_export.pipeline import provenance
from fmx_export.pipeline.trained_model import read_trained_model
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.run_folder import Run


def recorded(run: Run) -> dict[str, Any]:
    """What a run records about its training."""
    return {
        "labels": run.info.labels,
        "spec": run.info.input,
        "recipe": run.info.recipe.name,
        "seed": run.info.seed,
        "data": run.info.data,
        "data_digest": run.info.data_digest,
    }


def test_model_of_a_run(finished: Run) -> None:
    """The source model has the run's weights, labels, input and provenance."""
    source = read_trained_model(finished.model_path, **recorded(finished))
    image = np.zeros((1, 28, 28, 1), np.float32)
    assert source.model.predict(image, verbose=0).shape == (1, len(source.labels))
    assert (source.path, source.name) == (finished.model_path, "baseline")
    assert (source.labels, source.spec) == (finished.info.labels, finished.info.input)
    origin = source.provenance
    assert (origin.recipe, origin.seed) == ("baseline", finished.info.seed)
    assert (origin.data, origin.data_digest) == (finished.info.data, finished.info.data_digest)
    assert origin.keras_digest == provenance.weights_digest(source.model)
    assert (origin.commit, origin.versions) == (provenance.commit(), provenance.versions())


def test_missing_model(finished: Run, tmp_path: Path) -> None:
    """A missing file is an error of one line with its path and the remedy."""
    path = tmp_path / "model.keras"
    with pytest.raises(DataError, match=rf"^'{path}' is missing; train again with 'fmx train'$"):
        read_trained_model(path, **recorded(finished))


def test_damaged_model(finished: Run, tmp_path: Path) -> None:
    """A file that is not a Keras model is an error of one line."""
    path = tmp_path / "model.keras"
    path.write_bytes(finished.model_path.read_bytes()[:1000])
    with pytest.raises(InvalidKerasFileError, match=r"^[^\n]+$"):
        read_trained_model(path, **recorded(finished))
