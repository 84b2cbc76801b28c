"""What a model file computes, operator by operator, read without running it.

Imports neither TensorFlow nor an interpreter, so that whoever only looks into a file starts fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fmx_runtime.backends.base import ModelFormat
from fmx_runtime.errors import ModelFileError

__all__ = ["Affine", "Graph", "Operator", "Tensor", "Totals"]


@dataclass(frozen=True, kw_only=True)
class Affine:
    """How integers stand for numbers: ``scale * (integer - zero_point)``."""

    scales: tuple[float, ...]
    """One, or one for each channel."""
    zero_points: tuple[int, ...]
    """As many as there are scales."""

    def __post_init__(self) -> None:
        """Refuse scales that no numbers can be computed with."""
        if not all(map(math.isfinite, self.scales)):
            raise ModelFileError("a scale is NaN or infinite")


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """What goes from one operator to another, or lies in the file as weights."""

    name: str
    shape: tuple[int | None, ...] | None
    """A size that the file leaves open is None; and all of it is, where the file does not say."""
    dtype: str
    """NumPy's name where it has one, ``unknown`` where the file does not say."""
    affine: Affine | None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One step of the graph, and what it costs."""

    index: int
    """In the order of the file, from 0."""
    type: str
    """As the format calls it: ``CONV_2D`` in TFLite, ``Conv`` in ONNX."""
    name: str
    output: Tensor
    """The first, where there are several."""
    weights: Tensor | None
    """As they lie in the file; the first, where there is a bias too."""
    parameters: int
    """Values of weights and biases; those that several operators read count at the first."""
    multiply_accumulates: int | None
    """Multiplications whose products are summed, in one run of the graph: of convolutions, of
    dense layers and of products of matrices. Biases, activations, pooling, scaling and all else
    count none. A batch that the file leaves open is one image; None where shapes are unknown."""
    weight_bytes: int
    """What the parameters take in the file; scales and zero points are not among them."""
    file_share: float
    """``weight_bytes`` as a fraction of the file."""
    is_float: bool
    """Whether it works on floating-point numbers. What only turns them into integers or back, or
    asks for their shape, does not; nor do ONNX operators between DequantizeLinear and
    QuantizeLinear, as interpreters merge the three into one that works on integers."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over a graph's operators; each figure as in `Operator`."""

    operators: int
    parameters: int
    multiply_accumulates: int | None
    weight_bytes: int
    file_share: float
    float_operators: int


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A model's operators; of a TFLite file with several graphs, those of the first."""

    format: ModelFormat
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    totals: Totals
