"""Which interpreter runs a model file."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fmx_runtime.errors import BackendError, ModelFileError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Backend", "BackendName", "ModelFormat", "available", "detect_format", "open_backend"]

BackendName = Literal["ai-edge-litert", "tflite-runtime", "onnxruntime"]
"""The interpreters, by the names under which pip installs them."""

ModelFormat = Literal["tflite", "onnx"]

_MODULES: dict[BackendName, str] = {
    "ai-edge-litert": "ai_edge_litert",
    "tflite-runtime": "tflite_runtime",
    "onnxruntime": "onnxruntime",
}
_CHOICES: dict[ModelFormat, tuple[BackendName, ...]] = {
    "tflite": ("ai-edge-litert", "tflite-runtime"),
    "onnx": ("onnxruntime",),
}
_TFLITE_IDENTIFIER = b"TFL3"
_ONNX_FIRST_FIELDS = (0x08, 0x12, 0x1A)  # ModelProto's ir_version, producer_name or _version


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
        """Answer one input.

        Args:
            tensor: ``input_shape``, ``input_dtype``, C-contiguous.

        Returns:
            float32 ``(classes,)``, dequantized; a new array at each call.
        """

    def scores(self, tensor: NDArray[Any]) -> list[float]:
        """The numbers of `run`: for a small network's few classes, NumPy would take longer."""


def detect_format(content: bytes) -> ModelFormat | None:
    """The format by the file's first bytes, None if it is neither."""
    if content[4:8] == _TFLITE_IDENTIFIER:
        return "tflite"
    return "onnx" if content[:1] and content[0] in _ONNX_FIRST_FIELDS else None


def available() -> tuple[BackendName, ...]:
    """The interpreters that are installed here."""
    return tuple(name for name, module in _MODULES.items() if importlib.util.find_spec(module))


def open_backend(content: bytes, *, backend: BackendName | None, threads: int) -> Backend:
    """Open a model file's bytes with an interpreter that can run it.

    Args:
        content: the whole file.
        backend: the interpreter; None takes the first installed one that fits.
        threads: for one inference, at least 1.

    Raises:
        ModelFileError: neither a TFLite nor an ONNX model, or a damaged one.
        BackendError: the interpreter is not installed, or is one for the other format.
    """
    model_format = detect_format(content)
    if model_format is None:
        raise ModelFileError("neither a TFLite nor an ONNX model")
    choices = _CHOICES[model_format]
    if backend is not None and backend not in choices:
        raise BackendError(
            f"{backend} does not run {model_format} models; choose {' or '.join(choices)}"
        )
    installed = available()
    wanted = [backend] if backend else [name for name in choices if name in installed]
    if not wanted or wanted[0] not in installed:
        from fmx_runtime.backends.install_hints import Machine, install_hint

        here = Machine.here()
        missing = f"{backend} is not" if backend else f"no interpreter for {model_format} models is"
        raise BackendError(
            f"{missing} installed on this machine ({here}): "
            f"{install_hint(backend or choices[0], here)}"
        )
    if model_format == "onnx":
        from fmx_runtime.backends.onnxruntime import OnnxBackend

        return OnnxBackend(content, threads=threads)
    from fmx_runtime.backends.litert import LiteRTBackend

    return LiteRTBackend(content, threads=threads, package=wanted[0])
