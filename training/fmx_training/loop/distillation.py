"""Distillation: trained networks, the teachers, provide soft targets for another network.

A teacher predicts on the very same augmented images that the student is trained on: "a good teacher
is patient and consistent" (Beyer et al., arXiv:2106.05237). Its predictions for a view of the
training set are cached in the user's cache folder, so that students with other seeds reuse them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.support.atomic import make_folder, replacing
from fmx_training.data.augmentation import View
from fmx_training.run_folder import TeacherInfo, open_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.augmentation import Augmentation
    from fmx_training.data.training_examples import Examples
    from fmx_training.run_folder import Run

__all__ = ["Teacher", "check_compatible", "open_teacher", "predict", "soft_targets"]

_BATCH_SIZE = 250


@dataclass(frozen=True)
class Teacher:
    """A finished run whose network is a teacher."""

    run: Run
    info: TeacherInfo


def open_teacher(folder: Path) -> Teacher:
    """Open a finished run as a teacher.

    Raises:
        DataError: the folder holds no run, or an unfinished one.
    """
    run = open_run(folder)
    if not run.finished:
        raise DataError(
            f"'{folder}' (--teacher) is not a finished training run; complete it with "
            f"'fmx train --resume -o {folder}', or give another --teacher"
        )
    sha256 = hashlib.sha256(run.model_path.read_bytes()).hexdigest()
    return Teacher(run, TeacherInfo(str(folder), sha256))


def check_compatible(
    teacher: Teacher, shape: tuple[int, int, int], labels: tuple[str, ...]
) -> None:
    """Check that a teacher has the input and the classes of the network to be trained.

    Args:
        teacher: the teacher.
        shape: ``(height, width, channels)`` of the training images.
        labels: their classes.

    Raises:
        DataError: the shape or the classes differ.
    """
    info = teacher.run.info
    if info.input.shape != shape or info.labels != labels:
        raise DataError(
            f"'{teacher.info.run}' (--teacher) was trained on {len(info.labels)} classes of images "
            f"of shape {info.input.shape}, this run is for {len(labels)} classes of shape {shape}; "
            "give a teacher that was trained on the same classes and image size"
        )


def soft_targets(
    teachers: Sequence[Teacher],
    examples: Examples,
    augmentation: Augmentation,
    seed: tuple[int, ...],
) -> NDArray[np.float32]:
    """Return the mean prediction of the teachers for one view of the training examples.

    Args:
        teachers: one or more teachers for the examples' classes and image size.
        examples: the training examples.
        augmentation: how the images of the view are augmented.
        seed: random seed of the view.

    Returns:
        float32 ``(n, classes)``, probabilities.
    """
    targets = [_cached_predictions(one, examples, augmentation, seed) for one in teachers]
    mean: NDArray[np.float32] = np.mean(targets, axis=0, dtype=np.float32)
    return mean


def _cached_predictions(
    teacher: Teacher, examples: Examples, augmentation: Augmentation, seed: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return one teacher's predictions from the cache, which is filled first if needed."""
    path = _cache_path(teacher, examples, augmentation, seed)
    if not path.exists():
        import keras

        model = keras.models.load_model(teacher.run.model_path, compile=False)
        view = View(examples.images, augmentation, seed)
        predictions = predict(model, teacher.run.info.input, view, mirror=augmentation.flip)
        make_folder(path.parent)
        with replacing(path) as temporary, temporary.open("wb") as file:
            # half precision halves the cache: 1.1 MB for 55,000 images of ten classes
            np.save(file, predictions.astype(np.float16))
    cached = np.load(path, allow_pickle=False).astype(np.float32)
    probabilities: NDArray[np.float32] = cached / cached.sum(axis=1, keepdims=True)
    return probabilities


def _cache_path(
    teacher: Teacher, examples: Examples, augmentation: Augmentation, seed: tuple[int, ...]
) -> Path:
    """Return the cache file for all that determines the predictions."""
    key = json.dumps([teacher.info.sha256, examples.sha256, asdict(augmentation), seed])
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    folder: Path = platformdirs.user_cache_path("fmx") / "soft_targets"
    return folder / f"{name}.npy"


def predict(
    model: Any, spec: InputSpec, view: View, *, mirror: bool = False
) -> NDArray[np.float32]:
    """Return a network's predictions for all images of a view.

    Args:
        model: the Keras model.
        spec: input of the model.
        view: images of that size.
        mirror: whether to average the prediction for each image and for its mirror image.

    Returns:
        float32 ``(n, classes)``, probabilities.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def infer(images: Any) -> Any:
        predictions = model(images, training=False)
        if not mirror:
            return predictions
        return (predictions + model(images[:, :, ::-1], training=False)) / 2

    starts = range(0, len(view), _BATCH_SIZE)
    batches = (np.arange(start, min(start + _BATCH_SIZE, len(view))) for start in starts)
    return np.concatenate(
        [infer(tf.constant(to_tensor(view[batch], spec))).numpy() for batch in batches]
    )
