"""The training loop: train an epoch, save a checkpoint, repeat.

All random numbers are drawn from the run's seed and the number of the epoch, or their state is in
the checkpoint. So a run that was interrupted and resumed ends with the same weights as a run that
was not.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import DataError
from fmx_training.data.augmentation import View
from fmx_training.data.training_examples import from_dataset
from fmx_training.loop import checkpoint
from fmx_training.loop.checkpoint import EpochMetrics
from fmx_training.loop.distillation import soft_targets
from fmx_training.loop.learning_rate import warmup_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fmx_training.data.dataset import Dataset
    from fmx_training.data.training_examples import Examples
    from fmx_training.loop.distillation import Teacher
    from fmx_training.run_folder import Run

__all__ = ["fit"]

_EVALUATION_BATCH_SIZE = 500
_MOMENTUM = 0.9
"""Of the optimizer "muon"."""


def fit(
    run: Run,
    examples: Examples,
    validation: Dataset,
    teachers: Sequence[Teacher] = (),
    *,
    report: Callable[[str], None],
) -> tuple[Any, tuple[EpochMetrics, ...]]:
    """Train the network of a run, from its last checkpoint if it has one.

    Args:
        run: what to train; checkpoints are saved in its folder.
        examples: the training examples.
        validation: the validation images; they are only reported on.
        teachers: the teachers of the run, see `fmx_training.loop.distillation`.
        report: called with one line about each epoch.

    Returns:
        The Keras model after the last epoch, and the figures of all epochs.

    Raises:
        DataError: the data or teachers are not those of the run, or the training diverged.
        OutputError: a checkpoint cannot be saved.
    """
    import keras
    import tensorflow as tf

    from fmx_training.loop.progress import epoch_summary

    info = run.info
    _check_unchanged(run, examples, teachers)
    keras.utils.set_random_seed(info.seed)
    tf.config.experimental.enable_op_determinism()
    model, history = checkpoint.load(run.checkpoints) or (_build_model(run, len(examples)), ())
    validation_batches = _validation_batches(run, validation)
    for epoch in range(len(history), info.epochs):
        start = time.perf_counter()
        training_batches = _training_batches(run, examples, teachers, epoch)
        _seed_layers(model, info.seed, epoch)
        logs = _fit_epoch(model, training_batches, validation_batches, epoch, info.epochs)
        metrics = _epoch_metrics(epoch, logs, model, time.perf_counter() - start)
        if not math.isfinite(metrics.loss):
            raise DataError(
                f"the loss is {metrics.loss} in epoch {epoch + 1}: the training diverged; the "
                f"checkpoint of the epoch before is in '{run.checkpoints}'; start a new run with "
                "a lower learning rate, or check the images"
            )
        history = (*history, metrics)
        checkpoint.save(run.checkpoints, model, history)
        report(epoch_summary(metrics, info.epochs))
    return model, history


def _check_unchanged(run: Run, examples: Examples, teachers: Sequence[Teacher]) -> None:
    """Check that the data and the teachers are those that the run was started with."""
    info = run.info
    if examples.sha256 != info.examples_digest:
        raise DataError(
            f"'{run.folder}' was started with other training data ({info.data}) than "
            f"{examples.name} now; start a new run"
        )
    if [teacher.info.sha256 for teacher in teachers] != [one.sha256 for one in info.teachers]:
        raise DataError(
            f"'{run.folder}' was started with other teachers than there are now; start a new run"
        )


def _build_model(run: Run, images: int) -> Any:
    """Return the untrained network of a run, compiled with its optimizer."""
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
    learning_rate = warmup_cosine(recipe.learning_rate, steps, recipe.warmup_ratio)
    weight_decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(learning_rate, weight_decay=weight_decay)
    else:
        optimizer = Muon(
            learning_rate, momentum=_MOMENTUM, nesterov=True, weight_decay=weight_decay
        )
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


def _training_batches(run: Run, examples: Examples, teachers: Sequence[Teacher], epoch: int) -> Any:
    """Return the batches of one epoch: augmented images in random order, with their targets."""
    from fmx_training.data.batches import batches

    info, recipe = run.info, run.info.recipe
    view_seed = (epoch % recipe.views,) if teachers and recipe.views else (info.seed, epoch)
    view = View(examples.images, recipe.augmentation, view_seed)
    targets = _targets(run, examples, view, teachers, view_seed)
    order = np.random.default_rng([info.seed, epoch]).permutation(len(examples))
    return batches(view, targets, info.input, recipe.batch_size, order, weights=examples.weights)


def _targets(
    run: Run,
    examples: Examples,
    view: View,
    teachers: Sequence[Teacher],
    view_seed: tuple[int, ...],
) -> NDArray[np.float32]:
    """Return the targets of a view: smoothed labels, mixed with the teachers' soft targets."""
    recipe, classes = run.info.recipe, len(run.info.labels)
    smoothing = recipe.label_smoothing
    labels = view.mix_targets(examples.targets) * np.float32(1 - smoothing)
    labels += np.float32(smoothing / classes)
    if not teachers:
        return labels
    weight = np.float32(recipe.distillation_weight)
    soft = soft_targets(teachers, examples, recipe.augmentation, view_seed)
    return labels * (1 - weight) + soft * weight


def _validation_batches(run: Run, validation: Dataset) -> Any:
    from fmx_training.data.batches import batches

    examples = from_dataset(validation)
    order = np.arange(len(examples))
    return batches(examples.images, examples.targets, run.info.input, _EVALUATION_BATCH_SIZE, order)


def _seed_layers(model: Any, seed: int, epoch: int) -> None:
    """Seed the layers that draw random numbers; .keras files do not hold that state."""
    for index, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            state = np.random.default_rng([seed, epoch, index]).integers(2**32, size=2)
            generator.state.assign(state.astype(np.uint32))


def _fit_epoch(
    model: Any, training_batches: Any, validation_batches: Any, epoch: int, epochs: int
) -> dict[str, list[float]]:
    """Train one epoch and return the history of Keras, lists of one figure each."""
    import keras

    from fmx_training.loop.progress import EpochProgressBar

    name = f"epoch {epoch + 1}/{epochs}"
    bar = EpochProgressBar(name, int(training_batches.cardinality()))
    with contextlib.closing(bar):
        history: dict[str, list[float]] = model.fit(
            training_batches,
            initial_epoch=epoch,
            epochs=epoch + 1,
            validation_data=validation_batches,
            shuffle=False,  # `_training_batches` shuffles
            callbacks=[bar, keras.callbacks.TerminateOnNaN()],
            verbose=0,
        ).history
    return history


def _epoch_metrics(
    epoch: int, logs: dict[str, list[float]], model: Any, seconds: float
) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch + 1,
        learning_rate=float(model.optimizer.learning_rate),
        loss=logs["loss"][0],
        accuracy=logs["accuracy"][0],
        val_loss=logs["val_loss"][0],
        val_accuracy=logs["val_accuracy"][0],
        seconds=round(seconds, 2),
    )
