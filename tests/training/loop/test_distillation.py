"""Networks that teach others."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_tensor
from fmx_training import recipes
from fmx_training import run_folder as runs
from fmx_training.data.augmentation import Augmentation, View
from fmx_training.data.examples import Examples, of_dataset
from fmx_training.loop import distillation
from fmx_training.loop import fit as module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits
    from fmx_training.loop.distillation import Teacher
    from fmx_training.run_folder import Run

HOW = Augmentation(shift=1 / 14, flip=True, erase=0.5)
SHAPE = (28, 28, 1)


@pytest.fixture
def teacher(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Teacher:
    """The finished run; what it says is kept in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return distillation.open_teacher(finished.folder)


def some(few: Splits) -> Examples:
    """300 images: more than a batch, and no whole number of batches."""
    return of_dataset(few.train.take(np.arange(300), "some"))


@pytest.mark.parametrize("flip", [False, True])
def test_they_answer_for_the_changed_images(teacher: Teacher, few: Splits, *, flip: bool) -> None:
    """What is answered is what the network says to the very images of the view.

    Where images are mirrored, it is the mean with what it says to their mirror images.
    """
    examples, how = some(few), dataclasses.replace(HOW, flip=flip)
    answers = distillation.answers([teacher], examples, how, (3,))
    model = keras.models.load_model(teacher.run.model_path, compile=False)
    shown = to_tensor(View(examples.images, how, (3,))[np.arange(300)], teacher.run.info.input)
    expected = model.predict(shown, verbose=0)
    if flip:
        expected = (expected + model.predict(shown[:, :, ::-1], verbose=0)) / 2
    assert np.abs(answers - expected).max() < 1e-3  # they are kept in half precision
    assert np.allclose(answers.sum(axis=1), 1)
    other = distillation.answers([teacher], examples, how, (4,))
    assert np.abs(answers - other).max() > 0.1


def test_they_are_asked_once(
    teacher: Teacher, few: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time the cache answers; for other images, or changed otherwise, it does not."""
    examples = some(few)
    first = distillation.answers([teacher], examples, HOW, (0,))
    asked = []
    monkeypatch.setattr(
        distillation, "ask", lambda *_, **__: asked.append(1) or np.ones((300, 10)) / 10
    )
    assert np.array_equal(distillation.answers([teacher], examples, HOW, (0,)), first)
    assert not asked
    black = dataclasses.replace(examples, images=np.zeros_like(examples.images))
    distillation.answers([teacher], black, HOW, (0,))
    distillation.answers([teacher], examples, dataclasses.replace(HOW, flip=False), (0,))
    assert len(asked) == 2
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3


def test_several_are_averaged(teacher: Teacher, few: Splits) -> None:
    """The same one twice says the same."""
    examples = some(few)
    once = distillation.answers([teacher], examples, HOW, (0,))
    assert np.allclose(
        distillation.answers([teacher, teacher], examples, HOW, (0,)), once, atol=1e-6
    )


def test_who_cannot_teach(begin: Callable[..., Run], teacher: Teacher, tmp_path: Path) -> None:
    """Unfinished runs, and runs on other images or classes, are a line each."""
    unfinished = begin(tmp_path / "unfinished")
    labels = teacher.run.info.labels
    with pytest.raises(DataError, match=r"is no finished training run; go on with 'fmx train --r"):
        distillation.open_teacher(unfinished.folder)
    for shape, names in (((32, 32, 3), labels), (SHAPE, labels[:5])):
        with pytest.raises(DataError, match=r"teachers have to be trained on the same images"):
            distillation.check_fits(teacher, shape, names)


def test_a_student_learns_from_both(teacher: Teacher, few: Splits, tmp_path: Path) -> None:
    """Its targets are labels and answers in the recipe's proportion; a run's teachers are fixed."""
    examples, recipe = some(few), recipes.get("nano")
    info = runs.describe_run(
        recipe,
        few.train,
        examples,
        teacher.run.info.input,
        teachers=(teacher.info,),
        epochs=1,
    )
    student = runs.create_run(tmp_path / "student", info)
    assert runs.open_run(student.folder).info == info
    plain = View(examples.images, recipe.augmentation, (0,))
    wanted = module._targets(student, examples, plain, [teacher], (0,))
    taught = distillation.answers([teacher], examples, recipe.augmentation, (0,))
    share = recipe.teacher_weight
    assert np.allclose(wanted, examples.targets * (1 - share) + taught * share, atol=1e-6)
    with pytest.raises(DataError, match="other teachers"):
        module.fit(student, examples, few.validation, (), report=lambda _: None)
    _, history = module.fit(student, examples, few.validation, [teacher], report=lambda _: None)
    assert len(history) == 1


def test_label_smoothing(begin: Callable[..., Run], few: Splits, tmp_path: Path) -> None:
    """A tenth of a target is given away to all classes alike."""
    run = begin(tmp_path / "run")
    recipe = dataclasses.replace(run.info.recipe, label_smoothing=0.1)
    smooth = runs.Run(run.folder, dataclasses.replace(run.info, recipe=recipe))
    examples = some(few)
    plain = View(examples.images, recipe.augmentation, (0,))
    targets = module._targets(smooth, examples, plain, (), (0,))
    assert np.allclose(np.unique(targets), [0.01, 0.91])
