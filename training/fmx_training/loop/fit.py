"""The training loop: an epoch, a checkpoint, an epoch, a checkpoint.

Everything random is drawn from the run's seed and the epoch's number, or lives in the checkpoint,
so a run that was stopped and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import DataError
from fmx_training.data.augmentation import View
from fmx_training.data.examples import of_dataset
from fmx_training.loop import checkpoint
from fmx_training.loop.checkpoint import Epoch
from fmx_training.loop.distillation import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fmx_training.data.dataset import Dataset
    from fmx_training.data.examples import Examples
    from fmx_training.loop.distillation import Teacher
    from fmx_training.run_folder import Run

__all__ = ["fit"]

_EVALUATION_BATCH = 500


def fit(
    run: Run,
    examples: Examples,
    validation: Dataset,
    teachers: Sequence[Teacher] = (),
    *,
    report: Callable[[str], None],
) -> tuple[Any, tuple[Epoch, ...]]:
    """Train the run's network, going on after its last whole epoch if it has one.

    Args:
        run: what to train; its folder takes the checkpoints.
        examples: what it learns from.
        validation: what is reported on; it changes nothing.
        teachers: of the run, see `fmx_training.loop.distillation`.
        report: called with one line about each epoch.

    Returns:
        The Keras model after the last epoch, and the figures of all epochs.

    Raises:
        DataError: the data or teachers are not those the run was begun with, or the loss is no
            number.
        OutputError: a checkpoint cannot be written.
    """
    import keras
    import tensorflow as tf

    from fmx_training.data.batches import batches
    from fmx_training.loop.progress import EpochBar, line

    info, recipe = run.info, run.info.recipe
    _check_unchanged(run, examples, teachers)
    keras.utils.set_random_seed(info.seed)
    tf.config.experimental.enable_op_determinism()
    model, history = checkpoint.load(run.checkpoints) or (_compiled(run, len(examples)), ())
    held_out = of_dataset(validation)
    everything = np.arange(len(held_out))
    validation_batches = batches(
        held_out.images, held_out.targets, info.input, _EVALUATION_BATCH, everything
    )
    for epoch in range(len(history), info.epochs):
        began = time.perf_counter()
        seed = (epoch % recipe.views,) if teachers and recipe.views else (info.seed, epoch)
        view = View(examples.images, recipe.augmentation, seed)
        targets = _targets(run, examples, view, teachers, seed)
        order = np.random.default_rng([info.seed, epoch]).permutation(len(examples))
        learnt = batches(
            view, targets, info.input, recipe.batch_size, order, weights=examples.weights
        )
        _seed_layers(model, info.seed, epoch)
        name = f"epoch {epoch + 1}/{info.epochs}"
        with contextlib.closing(EpochBar(name, int(learnt.cardinality()))) as bar:
            figures = model.fit(
                learnt,
                initial_epoch=epoch,
                epochs=epoch + 1,
                validation_data=validation_batches,
                shuffle=False,  # the order is drawn above
                callbacks=[bar, keras.callbacks.TerminateOnNaN()],
                verbose=0,
            ).history
        record = _record(epoch, figures, model, time.perf_counter() - began)
        if not math.isfinite(record.loss):
            raise DataError(
                f"the loss is {record.loss} in epoch {epoch + 1}: the training diverged; "
                f"the state before it is kept in '{run.checkpoints}'; "
                "begin anew with a recipe of a lower learning rate, or look at the images"
            )
        history = (*history, record)
        checkpoint.save(run.checkpoints, model, history)
        report(line(record, info.epochs))
    return model, history


def _check_unchanged(run: Run, examples: Examples, teachers: Sequence[Teacher]) -> None:
    info = run.info
    if examples.sha256 != info.examples_digest:
        raise DataError(
            f"'{run.folder}' was begun with other training data than {examples.name} now: "
            f"{info.data}"
        )
    if [teacher.info.sha256 for teacher in teachers] != [info.sha256 for info in info.teachers]:
        raise DataError(
            f"'{run.folder}' was begun with other teachers than there are now; begin a new run"
        )


def _targets(
    run: Run,
    examples: Examples,
    view: View,
    teachers: Sequence[Teacher],
    seed: tuple[int, ...],
) -> NDArray[np.float32]:
    """What is wanted of one view of the examples: labels, smoothed, and teachers' answers."""
    recipe, classes = run.info.recipe, len(run.info.labels)
    smooth = recipe.label_smoothing
    wanted = view.answers(examples.targets) * np.float32(1 - smooth) + np.float32(smooth / classes)
    if not teachers:
        return wanted
    weight = np.float32(recipe.teacher_weight)
    taught = answers(teachers, examples, recipe.augmentation, seed)
    return wanted * (1 - weight) + taught * weight


def _seed_layers(model: Any, seed: int, epoch: int) -> None:
    """Set the state of the layers that draw random numbers, which .keras files do not hold."""
    for index, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            state = np.random.default_rng([seed, epoch, index]).integers(2**32, size=2)
            generator.state.assign(state.astype(np.uint32))


def _compiled(run: Run, images: int) -> Any:
    import keras

    from fmx_training.loop.muon import Muon
    from fmx_training.networks import backbones
    from fmx_training.networks.architectures import NETWORKS

    info, recipe = run.info, run.info.recipe
    if info.backbone:
        model = backbones.build(
            info.backbone, info.input.shape, len(info.labels), info.backbone_weights
        )
    else:
        model = NETWORKS[recipe.network](info.input.shape, len(info.labels))
    steps = math.ceil(images / recipe.batch_size) * info.epochs
    rising = round(recipe.warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else recipe.learning_rate,
        steps - rising,
        warmup_target=recipe.learning_rate if rising else None,
        warmup_steps=rising,
    )
    decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(schedule, weight_decay=decay)
    else:
        optimizer = Muon(schedule, momentum=0.9, nesterov=True, weight_decay=decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


def _record(epoch: int, figures: dict[str, list[float]], model: Any, seconds: float) -> Epoch:
    return Epoch(
        epoch=epoch + 1,
        learning_rate=float(model.optimizer.learning_rate),
        loss=figures["loss"][0],
        accuracy=figures["accuracy"][0],
        val_loss=figures["val_loss"][0],
        val_accuracy=figures["val_accuracy"][0],
        seconds=round(seconds, 2),
    )
