"""Distillation: teachers, soft targets and their cache."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_tensor
from fmx_training import recipes, run_folder
from fmx_training.data.augmentation import Augmentation, View
from fmx_training.data.training_examples import Examples, from_dataset
from fmx_training.loop import distillation
from fmx_training.loop import fit as fit_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits
    from fmx_training.loop.distillation import Teacher
    from fmx_training.run_folder import Run

AUGMENTATION = Augmentation(shift=1 / 14, flip=True, erase=0.5)
SHAPE = (28, 28, 1)


@pytest.fixture
def teacher(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Teacher:
    """The finished run; its predictions are cached in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return distillation.open_teacher(finished.folder)


def examples_of(few: Splits) -> Examples:
    """300 images: more than a batch, and not a whole number of batches."""
    return from_dataset(few.train.take(np.arange(300), "some"))


@pytest.mark.parametrize("flip", [False, True])
def test_teachers_predict_on_the_augmented_images(
    teacher: Teacher, few: Splits, *, flip: bool
) -> None:
    """Soft targets are the network's predictions for the images of the view.

    If images are mirrored, they are the mean of the predictions for image and mirror image.
    """
    examples, augmentation = examples_of(few), dataclasses.replace(AUGMENTATION, flip=flip)
    targets = distillation.soft_targets([teacher], examples, augmentation, (3,))
    model = keras.models.load_model(teacher.run.model_path, compile=False)
    view = View(examples.images, augmentation, (3,))
    tensor = to_tensor(view[np.arange(300)], teacher.run.info.input)
    expected = model.predict(tensor, verbose=0)
    if flip:
        expected = (expected + model.predict(tensor[:, :, ::-1], verbose=0)) / 2
    assert np.abs(targets - expected).max() < 1e-3  # the cache has half precision
    assert np.allclose(targets.sum(axis=1), 1)
    other = distillation.soft_targets([teacher], examples, augmentation, (4,))
    assert np.abs(targets - other).max() > 0.1


def test_soft_targets_are_cached(
    teacher: Teacher, few: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same view is predicted once; other images or another augmentation are predicted again."""
    examples = examples_of(few)
    first = distillation.soft_targets([teacher], examples, AUGMENTATION, (0,))
    calls = []
    monkeypatch.setattr(
        distillation, "predict", lambda *_, **__: calls.append(1) or np.ones((300, 10)) / 10
    )
    assert np.array_equal(distillation.soft_targets([teacher], examples, AUGMENTATION, (0,)), first)
    assert not calls
    black = dataclasses.replace(examples, images=np.zeros_like(examples.images))
    distillation.soft_targets([teacher], black, AUGMENTATION, (0,))
    distillation.soft_targets(
        [teacher], examples, dataclasses.replace(AUGMENTATION, flip=False), (0,)
    )
    assert len(calls) == 2
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3


def test_several_teachers_are_averaged(teacher: Teacher, few: Splits) -> None:
    """The mean of one teacher given twice equals its own soft targets."""
    examples = examples_of(few)
    once = distillation.soft_targets([teacher], examples, AUGMENTATION, (0,))
    assert np.allclose(
        distillation.soft_targets([teacher, teacher], examples, AUGMENTATION, (0,)), once, atol=1e-6
    )


def test_unsuitable_teachers(
    create_run: Callable[..., Run], teacher: Teacher, tmp_path: Path
) -> None:
    """Unfinished runs, and runs on other image sizes or classes, are DataErrors."""
    unfinished = create_run(tmp_path / "unfinished")
    labels = teacher.run.info.labels
    with pytest.raises(
        DataError, match=r"is not a finished training run; complete it with 'fmx train --r"
    ):
        distillation.open_teacher(unfinished.folder)
    for shape, names in (((32, 32, 3), labels), (SHAPE, labels[:5])):
        with pytest.raises(DataError, match=r"give a teacher that was trained on the same classes"):
            distillation.check_compatible(teacher, shape, names)


def test_targets_mix_labels_and_soft_targets(teacher: Teacher, few: Splits, tmp_path: Path) -> None:
    """The recipe sets the proportion; a run cannot continue with other teachers."""
    examples, recipe = examples_of(few), recipes.get("nano")
    info = run_folder.describe_run(
        recipe,
        few.train,
        examples,
        teacher.run.info.input,
        teachers=(teacher.info,),
        epochs=1,
    )
    student = run_folder.create_run(tmp_path / "student", info)
    assert run_folder.open_run(student.folder).info == info
    view = View(examples.images, recipe.augmentation, (0,))
    targets = fit_module._targets(student, examples, view, [teacher], (0,))
    soft = distillation.soft_targets([teacher], examples, recipe.augmentation, (0,))
    weight = recipe.distillation_weight
    assert np.allclose(targets, examples.targets * (1 - weight) + soft * weight, atol=1e-6)
    with pytest.raises(DataError, match="other teachers"):
        fit_module.fit(student, examples, few.validation, (), report=lambda _: None)
    _, history = fit_module.fit(student, examples, few.validation, [teacher], report=lambda _: None)
    assert len(history) == 1


def test_label_smoothing(create_run: Callable[..., Run], few: Splits, tmp_path: Path) -> None:
    """A tenth of each target is spread evenly over all ten classes."""
    run = create_run(tmp_path / "run")
    recipe = dataclasses.replace(run.info.recipe, label_smoothing=0.1)
    smoothed = run_folder.Run(run.folder, dataclasses.replace(run.info, recipe=recipe))
    examples = examples_of(few)
    view = View(examples.images, recipe.augmentation, (0,))
    targets = fit_module._targets(smoothed, examples, view, (), (0,))
    assert np.allclose(np.unique(targets), [0.01, 0.91])
