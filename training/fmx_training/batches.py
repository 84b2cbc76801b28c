"""Pictures as the batches that Keras trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fmx_runtime.preprocess import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.card import InputSpec
    from fmx_training.dataset import Dataset

__all__ = ["Batches"]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One pass over a data set, preprocessed as on the device, labels one-hot."""

    def __init__(
        self, dataset: Dataset, spec: InputSpec, batch_size: int, order: NDArray[np.int64]
    ) -> None:
        """Batches of ``batch_size`` pictures in the given order; the last may be smaller.

        Args:
            dataset: the pictures.
            spec: the network's input.
            batch_size: at least 1.
            order: int64 ``(n,)``, indices into the data set.
        """
        super().__init__()
        self._dataset, self._spec = dataset, spec
        self._batch_size, self._order = batch_size, order
        self._one_hot = np.eye(len(dataset.class_names), dtype=np.float32)

    @property
    def num_batches(self) -> int:
        """How many batches."""
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Batch ``index``: float32 ``(b, h, w, c)`` and float32 ``(b, classes)``."""
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        images = to_tensor(self._dataset.images[chosen], self._spec)
        return images, self._one_hot[self._dataset.labels[chosen]]
