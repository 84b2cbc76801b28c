"""Selection of the test vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_export.common.calibration import CalibrationSet
from fmx_export.pipeline.formats import Format
from fmx_export.pipeline.select_test_vectors import select_test_vectors
from fmx_export.source.reference_predictions import Reference
from fmx_export.tflite.kernels import kernel_difference
from fmx_runtime.classifier import Classifier
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file import test_vectors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_export.pipeline.manifest import Manifest
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

NAME = "baseline.int8.tflite"


def reference_of(
    unlabeled: Callable[..., object], probabilities: list[list[float]], side: int = 2
) -> Reference:
    """A reference whose images hold their own number in every pixel."""
    count = len(probabilities)
    images = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, side, side, 1)
    )
    return Reference(
        unlabeled("images", images),  # type: ignore[arg-type]
        "probabilities",
        np.array(probabilities, np.float32),
    )


def test_sensitive_images_of_different_labels_are_selected(
    unlabeled: Callable[..., object],
) -> None:
    """Images with a top probability near 0.6 come first, one for each predicted label."""
    reference = reference_of(
        unlabeled,
        [
            [1.0, 0.0, 0.0, 0.0],
            [0.61, 0.39, 0.0, 0.0],
            [0.62, 0.38, 0.0, 0.0],
            [0.1, 0.9, 0.0, 0.0],
            [0.0, 0.0, 0.99, 0.01],
            [0.0, 0.25, 0.0, 0.75],
        ],
    )
    selected = select_test_vectors(reference)
    assert selected[:, 0, 0, 0].tolist() == [1, 5, 3]


@pytest.mark.parametrize(("side", "count"), [(100, 3), (200, 2), (300, 1), (400, 1)])
def test_large_images_are_limited(side: int, count: int, unlabeled: Callable[..., object]) -> None:
    """Together the test vectors take at most 100 kB, but there is always one."""
    reference = reference_of(unlabeled, np.eye(4).tolist(), side)
    assert len(select_test_vectors(reference)) == count


def test_int8_tflite_test_vectors_are_stable(  # noqa: PLR0917 (fixtures)
    exported: Path,
    export: Callable[..., Manifest],
    source: SourceModel,
    splits: Splits,
    few: Splits,
    tmp_path: Path,
) -> None:
    """No test vector of an int8 TFLite file has another output on an older interpreter.

    That holds even if all images that would be selected otherwise have another output.
    """
    metadata = Classifier(exported / NAME).metadata
    model = (exported / NAME).read_bytes()[: metadata.model_bytes]
    images = splits.validation.images[:2000]
    probabilities = source.model.predict(to_tensor(images, source.spec), verbose=0)
    distance = np.abs(probabilities.max(axis=1) - 0.6)
    unstable = kernel_difference(model, images) > 0
    sensitive = np.flatnonzero(unstable & (distance < 0.1))[:20]
    assert len(sensitive) > 3
    others = np.flatnonzero(~unstable & (distance > 0.1) & (distance < 0.3))[:100]
    validation = splits.validation.take(np.concatenate([sensitive, others]), "chosen")
    reference = Reference(validation, "probabilities", probabilities[[*sensitive, *others]])
    assert kernel_difference(model, select_test_vectors(reference)).any()

    export(
        formats=(Format.TFLITE_INT8,),
        calibration=CalibrationSet(few.train.images[:200], few.train.name, 0),
        validation=validation,
        folder=tmp_path,
        max_accuracy_drop=1,
    )
    metadata = Classifier(tmp_path / NAME).metadata
    assert metadata.test_vectors is not None
    assert (tmp_path / NAME).read_bytes()[: metadata.model_bytes] == model
    pixels, _ = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    assert len(pixels) == 3
    assert not kernel_difference(model, pixels).any()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_validation_images(
    count: int, export: Callable[..., Manifest], few: Splits, tmp_path: Path
) -> None:
    """A file has test vectors however few validation images there are."""
    validation = few.validation.take(np.arange(count), "few")
    export(
        formats=(Format.TFLITE_INT8,), validation=validation, folder=tmp_path, max_accuracy_drop=1
    )
    metadata = Classifier(tmp_path / NAME).metadata
    assert metadata.test_vectors is not None
    pixels, _ = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    assert 1 <= len(pixels) <= min(count, 3)
    assert all(any(np.array_equal(one, other) for other in validation.images) for one in pixels)
