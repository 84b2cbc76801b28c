"""Trained networks that answer for the images another one learns from.

A teacher answers for the very image that the student is shown, changed as that is: "a good
teacher is patient and consistent" (Beyer et al., arXiv:2106.05237). Its answers to one view of the
data are kept in the user's cache, so that students of other seeds need not ask again.
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
    from fmx_training.data.examples import Examples
    from fmx_training.run_folder import Run

__all__ = ["Teacher", "answers", "ask", "check_fits", "open_teacher"]

_BATCH = 250


@dataclass(frozen=True)
class Teacher:
    """A finished run whose network teaches."""

    run: Run
    info: TeacherInfo


def open_teacher(folder: Path) -> Teacher:
    """A finished run as a teacher.

    Raises:
        DataError: there is no run, or it is not finished.
    """
    run = open_run(folder)
    if not run.finished:
        raise DataError(
            f"'{folder}' (teacher) is no finished training run; go on with "
            f"'fmx train --resume -o {folder}', or name another with --teacher"
        )
    sha256 = hashlib.sha256(run.model_path.read_bytes()).hexdigest()
    return Teacher(run, TeacherInfo(str(folder), sha256))


def check_fits(teacher: Teacher, shape: tuple[int, int, int], labels: tuple[str, ...]) -> None:
    """Refuse a teacher that cannot answer for the images to be learnt.

    Args:
        teacher: who is to answer.
        shape: the images' ``(height, width, channels)``.
        labels: their classes.

    Raises:
        DataError: it knows other images or classes.
    """
    known = teacher.run.info
    if known.input.shape != shape or known.labels != labels:
        raise DataError(
            f"'{teacher.info.run}' (teacher) knows {len(known.labels)} classes of images "
            f"{known.input.shape}, to be learnt are {len(labels)} of {shape}; teachers have to "
            "be trained on the same images at the same size"
        )


def answers(
    teachers: Sequence[Teacher],
    examples: Examples,
    how: Augmentation,
    seed: tuple[int, ...],
) -> NDArray[np.float32]:
    """What the teachers say to one view of the examples, in the mean.

    Args:
        teachers: one or more, of the examples' classes and size.
        examples: what is learnt from.
        how: how the view's images change.
        seed: the view's.

    Returns:
        float32 ``(n, classes)``, probabilities.
    """
    all_answers = [_answers_of(teacher, examples, how, seed) for teacher in teachers]
    mean: NDArray[np.float32] = np.mean(all_answers, axis=0, dtype=np.float32)
    return mean


def _answers_of(
    teacher: Teacher, examples: Examples, how: Augmentation, seed: tuple[int, ...]
) -> NDArray[np.float32]:
    key = json.dumps([teacher.info.sha256, examples.sha256, asdict(how), seed])
    path: Path = (
        platformdirs.user_cache_path("fmx")
        / "teachers"
        / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
    )
    if not path.exists():
        view = View(examples.images, how, seed)
        asked = ask(_network(teacher), teacher.run.info.input, view, mirrored=how.flip)
        make_folder(path.parent)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, asked.astype(np.float16))
    kept = np.load(path, allow_pickle=False).astype(np.float32)
    probabilities: NDArray[np.float32] = kept / kept.sum(axis=1, keepdims=True)
    return probabilities


def _network(teacher: Teacher) -> Any:
    import keras

    return keras.models.load_model(teacher.run.model_path, compile=False)


def ask(model: Any, spec: InputSpec, view: View, *, mirrored: bool = False) -> NDArray[np.float32]:
    """A network's answers to all images of a view.

    Args:
        model: the Keras model.
        spec: its input.
        view: of images of that size.
        mirrored: whether it answers in the mean with what it says to the mirrored images.

    Returns:
        float32 ``(n, classes)``, probabilities.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def infer(images: Any) -> Any:
        answers = model(images, training=False)
        if not mirrored:
            return answers
        return (answers + model(images[:, :, ::-1], training=False)) / 2

    starts = range(0, len(view), _BATCH)
    batches = (np.arange(start, min(start + _BATCH, len(view))) for start in starts)
    return np.concatenate(
        [infer(tf.constant(to_tensor(view[batch], spec))).numpy() for batch in batches]
    )
