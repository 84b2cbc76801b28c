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
from fmx_training import checkpoint
from fmx_training.checkpoint import Epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_training.dataset import Splits
    from fmx_training.run import Run

__all__ = ["fit"]

_EVALUATION_BATCH = 500


def fit(
    run: Run, splits: Splits, *, report: Callable[[str], None]
) -> tuple[Any, tuple[Epoch, ...]]:
    """Train the run's network, going on after its last whole epoch if it has one.

    Args:
        run: what to train; its folder takes the checkpoints.
        splits: learns from ``train``, reports on ``validation``; ``test`` is not looked at.
        report: called with one line about each epoch.

    Returns:
        The Keras model after the last epoch, and the figures of all epochs.

    Raises:
        DataError: the data are not those the run was begun with, or the loss is no number.
        OutputError: a checkpoint cannot be written.
    """
    import keras
    import tensorflow as tf

    from fmx_training.batches import Batches
    from fmx_training.progress import EpochBar, line

    info = run.info
    if splits.train.digest() != info.data_digest:
        raise DataError(f"'{run.folder}' was begun with other training data than {info.data} now")
    keras.utils.set_random_seed(info.seed)
    tf.config.experimental.enable_op_determinism()
    model, history = checkpoint.load(run.checkpoints) or (_compiled(run, len(splits.train)), ())
    everything = np.arange(len(splits.validation))
    validation = Batches(splits.validation, info.input, _EVALUATION_BATCH, everything)
    for epoch in range(len(history), info.epochs):
        began = time.perf_counter()
        order = np.random.default_rng([info.seed, epoch]).permutation(len(splits.train))
        batches = Batches(splits.train, info.input, info.recipe.batch_size, order)
        _seed_layers(model, info.seed, epoch)
        with contextlib.closing(EpochBar(epoch + 1, info.epochs, batches.num_batches)) as bar:
            figures = model.fit(
                batches,
                initial_epoch=epoch,
                epochs=epoch + 1,
                validation_data=validation,
                shuffle=False,  # the order is drawn above
                callbacks=[bar],
                verbose=0,
            ).history
        record = _record(epoch, figures, model, time.perf_counter() - began)
        if not math.isfinite(record.loss):
            raise DataError(
                f"the loss is {record.loss} in epoch {epoch + 1}: the training diverged; "
                f"the state before it is kept in '{run.checkpoints}'"
            )
        history = (*history, record)
        checkpoint.save(run.checkpoints, model, history)
        report(line(record, info.epochs))
    return model, history


def _seed_layers(model: Any, seed: int, epoch: int) -> None:
    """Set the state of the layers that draw random numbers, which .keras files do not hold."""
    for index, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            state = np.random.default_rng([seed, epoch, index]).integers(2**32, size=2)
            generator.state.assign(state.astype(np.uint32))


def _compiled(run: Run, pictures: int) -> Any:
    import keras

    from fmx_training.models import NETWORKS

    info, recipe = run.info, run.info.recipe
    model = NETWORKS[recipe.network](info.input.shape, len(info.labels))
    steps = math.ceil(pictures / recipe.batch_size) * info.epochs
    schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    model.compile(keras.optimizers.Adam(schedule), "categorical_crossentropy", metrics=["accuracy"])
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
