"""Muon: an optimizer that moves every direction of a convolution's kernel at the same pace.

Networks that may have few epochs come further with it than with momentum alone. (Jordan et al.,
"Muon: An optimizer for hidden layers in neural networks", 2024, and his CIFAR-10 speed runs, for
kernels of a constant norm.)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Muon", "orthogonal"]

_KERNEL_PACE = 0.2
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_TINY = 1e-7


class Muon(keras.optimizers.SGD):  # type: ignore[misc]
    """Nesterov's momentum, made orthogonal for the kernels of convolutions.

    A kernel ``(height, width, in, out)`` is a matrix here, of a column for each output channel. It
    moves by an orthogonal matrix times 0.2 of the learning rate, and is brought back to the norm
    that an orthogonal matrix has: the rate is then the share that changes in a step, and no decay
    is needed. This suits layers that are normalized after, where a kernel's scale says nothing.
    Everything else, vectors and dense layers, is left to `keras.optimizers.SGD`.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable."""
        if len(variable.shape) != 4:  # noqa: PLR2004 (a convolution's)
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self.momentums[self._get_variable_index(variable)]
        self.assign(momentum, momentum * self.momentum + gradient)
        change = orthogonal(momentum * self.momentum + gradient)
        moved = variable - learning_rate * _KERNEL_PACE * change
        norm = math.sqrt(min(_sides(variable.shape)))
        self.assign(variable, moved * (norm / (ops.norm(ops.ravel(moved)) + _TINY)))


def orthogonal(kernel: Any) -> Any:
    """About the nearest matrix whose singular values are all 1, by Newton-Schulz iterations.

    Args:
        kernel: float32 ``(height, width, in, out)``, a matrix of a column for each output.

    Returns:
        Of the same shape; singular values come to lie between 0.6 and 1.3, unless they were less
        than a hundredth of the largest.
    """
    rows, columns = _sides(kernel.shape)
    matrix = ops.reshape(kernel, (rows, columns))
    if rows > columns:  # the smaller product is the cheaper one
        matrix = ops.transpose(matrix)
    matrix = matrix / (ops.norm(matrix) + _TINY)
    first, third, fifth = _COEFFICIENTS
    for _ in range(_STEPS):
        product = ops.matmul(matrix, ops.transpose(matrix))
        inner = third * product + fifth * ops.matmul(product, product)
        matrix = first * matrix + ops.matmul(inner, matrix)
    if rows > columns:
        matrix = ops.transpose(matrix)
    return ops.reshape(matrix, kernel.shape)


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    return math.prod(shape[:3]), shape[3]
