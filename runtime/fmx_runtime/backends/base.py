"""What every interpreter offers, which interpreters exist, and which model formats they run."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "INTERPRETERS",
    "Backend",
    "BackendName",
    "ModelFormat",
    "available_backends",
    "detect_format",
]

BackendName = Literal["ai-edge-litert", "tflite-runtime", "onnxruntime"]
"""The interpreters, by the names under which pip installs them."""

ModelFormat = Literal["tflite", "onnx"]

INTERPRETERS: dict[ModelFormat, tuple[BackendName, ...]] = {
    "tflite": ("ai-edge-litert", "tflite-runtime"),
    "onnx": ("onnxruntime",),
}
"""The interpreters of each format; the first installed one is used by default."""

_MODULES: dict[BackendName, str] = {
    "ai-edge-litert": "ai_edge_litert",
    "tflite-runtime": "tflite_runtime",
    "onnxruntime": "onnxruntime",
}
_TFLITE_IDENTIFIER = b"TFL3"
_ONNX_FIRST_BYTES = (0x08, 0x12, 0x1A)
"""Tags of the fields of ModelProto that writers put first: ir_version, producer_name, _version."""


class Backend(Protocol):
    """An interpreter that holds one model with one input and one output tensor."""

    @property
    def name(self) -> str:
        """Interpreter and version, for example ``ai-edge-litert 2.3.0``."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(1, height, width, channels)``."""

    @property
    def input_dtype(self) -> str:
        """NumPy's name of the input tensor's type."""

    @property
    def output_size(self) -> int:
        """Number of classes."""

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """Run the model on one input.

        Args:
            tensor: ``input_shape``, ``input_dtype``, C-contiguous.

        Returns:
            float32 ``(classes,)``, dequantized; a new array at each call.
        """

    def scores(self, tensor: NDArray[Any]) -> list[float]:
        """Return the values of `run` as a list.

        For the few classes of a small network this is faster than a NumPy array.
        """


def detect_format(content: bytes) -> ModelFormat | None:
    """Return the model format that a file's first 8 bytes show, or None if it is neither."""
    if content[4:8] == _TFLITE_IDENTIFIER:
        return "tflite"
    return "onnx" if content[:1] and content[0] in _ONNX_FIRST_BYTES else None


def available_backends(model_format: ModelFormat | None = None) -> tuple[BackendName, ...]:
    """Return the interpreters that are installed here, without importing them.

    Args:
        model_format: return only those that run this format; None for all of them.
    """
    names = _MODULES if model_format is None else INTERPRETERS[model_format]
    return tuple(name for name in names if importlib.util.find_spec(_MODULES[name]))
