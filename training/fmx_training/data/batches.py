"""Images as the batches that Keras trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import tensorflow as tf

from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["Images", "batches"]

_AHEAD = 2
"""Batches made while the network learns the one before."""


class Images(Protocol):
    """An array ``(n, h, w, c)``, or what gives its rows as one does."""

    def __getitem__(self, chosen: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """The images at those indices: uint8 ``(m, h, w, c)``."""


def batches(
    images: Images,
    targets: NDArray[np.float32],
    spec: InputSpec,
    batch_size: int,
    order: NDArray[np.int64],
    *,
    weights: NDArray[np.float32] | None = None,
) -> Any:
    """One pass over images, preprocessed as on the device, with the answers wanted.

    Args:
        images: uint8 ``(n, h, w, c)``, or a `fmx_training.data.augmentation.View`.
        targets: float32 ``(n, classes)``, distributions.
        spec: the network's input.
        batch_size: at least 1; the last batch may be smaller.
        order: int64 ``(m,)``, indices of images.
        weights: float32 ``(n,)``, what each image counts in the loss; None for 1.

    Returns:
        tf.data.Dataset of float32 ``(b, h, w, c)``, ``(b, classes)``, weights ``(b,)`` if given.
    """
    kept = (targets,) if weights is None else (targets, weights)

    def generate() -> Iterator[tuple[NDArray[np.float32], ...]]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield to_tensor(images[chosen], spec), *(array[chosen] for array in kept)

    shapes = (spec.shape, *(array.shape[1:] for array in kept))
    signature = tuple(tf.TensorSpec((None, *shape), tf.float32) for shape in shapes)
    # The thread that tunes a pipeline, as one made of a keras.utils.PyDataset is, sleeps twice as
    # long each time, up to a minute, and at times misses that it is to stop: then the epoch does
    # not end before it wakes.
    options = tf.data.Options()
    options.autotune.enabled = False
    count = -(-len(order) // batch_size)
    made = tf.data.Dataset.from_generator(generate, output_signature=signature)
    made = made.apply(tf.data.experimental.assert_cardinality(count))
    return made.prefetch(_AHEAD).with_options(options)
