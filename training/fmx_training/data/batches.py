"""Batches of preprocessed images for training with Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import tensorflow as tf

from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["ImageRows", "batches"]

_PREFETCHED_BATCHES = 2
"""Batches that are prepared while the network is trained on the one before."""


class ImageRows(Protocol):
    """Images that are indexed like an array ``(n, h, w, c)``."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Return the images at these indices: uint8 ``(m, h, w, c)``."""


def batches(
    images: ImageRows,
    targets: NDArray[np.float32],
    spec: InputSpec,
    batch_size: int,
    order: NDArray[np.int64],
    *,
    weights: NDArray[np.float32] | None = None,
) -> Any:
    """Return one pass over images, preprocessed as on the device, and their targets.

    Args:
        images: uint8 ``(n, h, w, c)``, or a `fmx_training.data.augmentation.View`.
        targets: float32 ``(n, classes)``, distributions.
        spec: the network's input.
        batch_size: 1 or more. The last batch may be smaller.
        order: int64 ``(m,)``, indices of the images.
        weights: float32 ``(n,)``, each image's weight in the loss; None for 1.

    Returns:
        tf.data.Dataset of float32 images ``(b, h, w, c)``, targets ``(b, classes)`` and, if
        given, weights ``(b,)``.
    """
    per_image = (targets,) if weights is None else (targets, weights)

    def generate() -> Iterator[tuple[NDArray[np.float32], ...]]:
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            yield to_tensor(images[indices], spec), *(array[indices] for array in per_image)

    shapes = (spec.shape, *(array.shape[1:] for array in per_image))
    signature = tuple(tf.TensorSpec((None, *shape), tf.float32) for shape in shapes)
    # A keras.utils.PyDataset would be shorter. But its pipeline has an autotuning thread, which
    # sleeps for up to a minute and sometimes misses that it has to stop: then the epoch does not
    # end before it wakes up.
    options = tf.data.Options()
    options.autotune.enabled = False
    count = -(-len(order) // batch_size)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(_PREFETCHED_BATCHES).with_options(options)
