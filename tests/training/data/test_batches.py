"""Batches: what the network is shown, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime.images.preprocess import to_tensor
from fmx_training import recipes
from fmx_training import run_folder as runs
from fmx_training.data import fashion_mnist
from fmx_training.data.batches import batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEC = runs.input_spec(recipes.get("nano"), fashion_mnist.SHAPE, polarity=fashion_mnist.POLARITY)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (25, *fashion_mnist.SHAPE), np.uint8)
TARGETS = RANDOM.dirichlet(np.ones(10), 25).astype(np.float32)
ORDER = RANDOM.permutation(25)


@pytest.mark.parametrize("weights", [None, RANDOM.random(25, np.float32)])
def test_one_pass(weights: NDArray[np.float32] | None) -> None:
    """Each image comes once, in the order given, with its target and its weight."""
    made = batches(IMAGES, TARGETS, SPEC, 10, ORDER, weights=weights)
    assert int(made.cardinality()) == 3
    for _ in range(2):  # as often as one asks
        columns = list(zip(*made.as_numpy_iterator(), strict=True))
        assert [len(part) for part in columns[0]] == [10, 10, 5]
        wanted = [to_tensor(IMAGES, SPEC), TARGETS, *([] if weights is None else [weights])]
        for column, array in zip(columns, wanted, strict=True):
            assert np.array_equal(np.concatenate(column), array[ORDER])
