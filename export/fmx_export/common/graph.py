"""The graph of a model file: its operators and tensors, in the same terms for both formats.

Needs neither TensorFlow nor an interpreter, so that `fmx inspect` starts fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fmx_runtime.backends.base import ModelFormat  # noqa: TC001 (read when JSON is decoded)
from fmx_runtime.errors import ModelFileError

__all__ = ["Graph", "Operator", "QuantizationParameters", "Tensor", "Totals"]


@dataclass(frozen=True, kw_only=True)
class QuantizationParameters:
    """Affine quantization of a tensor: ``real = scale * (integer - zero_point)``.

    Attributes:
        scales: one value, or one for each channel.
        zero_points: as many as there are scales.

    Raises:
        ModelFileError: a scale is NaN or infinite.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the scales."""
        if not all(map(math.isfinite, self.scales)):
            raise ModelFileError("a scale is NaN or infinite")


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An activation, or weights that are stored in the file.

    Attributes:
        name: may be empty.
        shape: a size is None where the file leaves it open; all of it where the file has no shape.
        dtype: NumPy's name where there is one, ``unknown`` where the file does not say.
        quantization: None for a tensor that is not quantized.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    quantization: QuantizationParameters | None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator and its costs.

    Attributes:
        index: position in the file, from 0.
        type: the format's name for it: ``CONV_2D`` in TFLite, ``Conv`` in ONNX.
        name: in TFLite, that of its output.
        output: its first output.
        weights: as they are stored; the first, where there is a bias too. None without weights.
        parameters: number of values of weights and biases. Those that several operators share
            count for the first one only.
        multiply_accumulates: of convolutions, dense layers and matrix products, in one run of the
            graph with a batch of one. All other operators have 0. None where shapes are unknown.
        weight_bytes: size of the parameters in the file, without scales and zero points.
        file_share: ``weight_bytes`` as a fraction of the file's size.
        is_float: whether it computes with floating-point numbers. Operators that only quantize,
            dequantize or read a shape do not. Nor do ONNX operators between DequantizeLinear and
            QuantizeLinear, because interpreters fuse the three into one integer operator.
    """

    index: int
    type: str
    name: str
    output: Tensor
    weights: Tensor | None
    parameters: int
    multiply_accumulates: int | None
    weight_bytes: int
    file_share: float
    is_float: bool


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over a graph's operators; see `Operator` for the fields."""

    operators: int
    parameters: int
    multiply_accumulates: int | None
    weight_bytes: int
    file_share: float
    float_operators: int


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The graph of a model file; of a TFLite file with several subgraphs, the first one."""

    format: ModelFormat
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    totals: Totals
