"""Pictures as the batches that Keras trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import keras

from fmx_runtime.preprocess import to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.card import InputSpec

__all__ = ["Batches", "Images"]


class Images(Protocol):
    """An array ``(n, h, w, c)``, or what gives its rows as one does."""

    def __getitem__(self, chosen: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """The pictures at those indices: uint8 ``(m, h, w, c)``."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One pass over pictures, preprocessed as on the device, with the answers wanted."""

    def __init__(
        self,
        images: Images,
        targets: NDArray[np.float32],
        spec: InputSpec,
        batch_size: int,
        order: NDArray[np.int64],
        *,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Batches of ``batch_size`` pictures in the given order; the last may be smaller.

        Args:
            images: uint8 ``(n, h, w, c)``, or a `fmx_training.augment.View`.
            targets: float32 ``(n, classes)``, distributions.
            spec: the network's input.
            batch_size: at least 1.
            order: int64 ``(m,)``, indices of pictures.
            weights: float32 ``(n,)``, what each picture counts in the loss; None for 1.
        """
        super().__init__()
        self._images, self._targets, self._spec = images, targets, spec
        self._batch_size, self._order, self._weights = batch_size, order, weights

    @property
    def num_batches(self) -> int:
        """How many batches."""
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        """Batch ``index``: float32 ``(b, h, w, c)``, ``(b, classes)``, and weights ``(b,)``."""
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        batch = to_tensor(self._images[chosen], self._spec), self._targets[chosen]
        return batch if self._weights is None else (*batch, self._weights[chosen])
