"""Print how long it takes to prepare a recipe's training batches, and to train on them.

    python tools/input_pipeline.py [RECIPE]

Both are measured alone, one after the other, in turns; the figures are medians over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_training import recipes, run_folder
from fmx_training.data import fashion_mnist
from fmx_training.data.augmentation import View
from fmx_training.data.training_examples import from_dataset
from fmx_training.process_setup import prepare_training_process

if TYPE_CHECKING:
    from fmx_training.data.training_examples import Examples
    from fmx_training.recipes import Recipe


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "recipe", nargs="?", choices=sorted(recipes.RECIPES), default=recipes.DEFAULT_RECIPE
    )
    parser.add_argument("--batches", type=int, default=100, help="batches in each repeat")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    prepare_training_process()  # as fmx train does
    recipe = recipes.get(options.recipe)
    preparing_ms, training_ms = measure(recipe, options.batches, options.repeats)
    print(
        f"{recipe.name}: a batch of {recipe.batch_size} takes {preparing_ms:.2f} ms to prepare and "
        f"{training_ms:.1f} ms to train on; preparing takes "
        f"{preparing_ms / (preparing_ms + training_ms):.1%} of the time"
    )


def measure(recipe: Recipe, batches: int, repeats: int) -> tuple[float, float]:
    """Return the milliseconds that one batch takes to prepare, and to train on."""
    import keras

    from fmx_training.networks.architectures import NETWORKS

    examples = from_dataset(fashion_mnist.load().train)
    spec = run_folder.input_spec(recipe, fashion_mnist.SHAPE, polarity=fashion_mnist.POLARITY)
    model = NETWORKS[recipe.network](spec.shape, len(examples.class_names))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "categorical_crossentropy")
    preparing_s, training_s = [], []
    for repeat in range(repeats + 1):
        ready, seconds = _prepare(recipe, examples, repeat, batches)
        start = time.perf_counter()
        for images, targets in ready:
            model.train_on_batch(images, targets)
        if repeat:  # the first one compiles
            preparing_s.append(seconds)
            training_s.append(time.perf_counter() - start)
    preparing, training = (statistics.median(times) for times in (preparing_s, training_s))
    return 1000 * preparing / batches, 1000 * training / batches


def _prepare(
    recipe: Recipe, examples: Examples, seed: int, count: int
) -> tuple[list[tuple[Any, Any]], float]:
    """Return batches, and the seconds that they took, with their share of an epoch's set-up."""
    from fmx_training.data.batches import batches

    spec = run_folder.input_spec(recipe, fashion_mnist.SHAPE, polarity=fashion_mnist.POLARITY)
    start = time.perf_counter()
    view = View(examples.images, recipe.augmentation, (seed,))
    order = np.random.default_rng(seed).permutation(len(examples))
    epoch = batches(view, examples.targets, spec, recipe.batch_size, order)
    drawn = time.perf_counter()
    ready = list(epoch.take(count))
    prepared = time.perf_counter()
    # all random changes of an epoch are drawn at once
    share = (drawn - start) * count / int(epoch.cardinality())
    return ready, prepared - drawn + share


if __name__ == "__main__":
    main()
