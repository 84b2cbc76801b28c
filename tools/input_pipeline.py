"""Print what preparing a recipe's batches takes beside learning from them.

    python tools/input_pipeline.py [RECIPE]

Both alone, one after the other, in turns; medians over rounds of a hundred batches.
"""
# ruff: noqa: INP001, T201 (a program)

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from fmx_training import recipes
from fmx_training import run_folder as runs
from fmx_training.data import fashion_mnist
from fmx_training.data.augmentation import View
from fmx_training.data.examples import from_dataset
from fmx_training.process_setup import prepare_training_process

_ROUNDS, _BATCHES = 5, 100


def main(name: str) -> None:
    """Measure and print."""
    prepare_training_process()
    import keras

    from fmx_training.data.batches import batches
    from fmx_training.networks.architectures import NETWORKS

    recipe = recipes.get(name)
    examples = from_dataset(fashion_mnist.load().train)
    spec = runs.input_spec(recipe, fashion_mnist.SHAPE, polarity=fashion_mnist.POLARITY)
    model = NETWORKS[recipe.network](spec.shape, len(examples.class_names))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "categorical_crossentropy")
    preparing, learning = [], []
    for round_ in range(_ROUNDS + 1):
        start = time.perf_counter()
        view = View(examples.images, recipe.augmentation, (round_,))
        order = np.random.default_rng(round_).permutation(len(examples))
        epoch = batches(view, examples.targets, spec, recipe.batch_size, order)
        drawn = time.perf_counter()
        ready = list(epoch.take(_BATCHES))
        prepared = time.perf_counter()
        for images, targets in ready:
            model.train_on_batch(images, targets)
        learnt = time.perf_counter()
        if round_:  # the first one compiles
            # the changes are drawn once for all batches of an epoch
            preparing.append(
                prepared - drawn + (drawn - start) * _BATCHES / int(epoch.cardinality())
            )
            learning.append(learnt - prepared)
    ready_ms, learnt_ms = (
        1000 * statistics.median(times) / _BATCHES for times in (preparing, learning)
    )
    print(
        f"{name}: a batch of {recipe.batch_size} takes {ready_ms:.2f} ms to prepare and "
        f"{learnt_ms:.1f} ms to learn from: {ready_ms / (ready_ms + learnt_ms):.1%} of a training"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else recipes.DEFAULT)
