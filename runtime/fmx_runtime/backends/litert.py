"""Run TFLite models with ai-edge-litert, or with tflite-runtime where there is no wheel of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.support.packages import versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmx_runtime.backends.base import BackendName

__all__ = ["LiteRTBackend"]

_MODULES: dict[BackendName, str] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


class LiteRTBackend:
    """One TFLite model; satisfies `fmx_runtime.backends.base.Backend`. Not thread-safe."""

    def __init__(self, content: bytes, *, threads: int, package: BackendName) -> None:
        """Load a model and allocate its tensors.

        Args:
            content: the model file's bytes.
            threads: number of threads for one inference.
            package: the interpreter, which must be installed.

        Raises:
            BackendError: the interpreter is installed, but cannot be loaded.
            ModelFileError: the interpreter refuses the file.
        """
        module = _import_interpreter(package)
        self._package = package
        try:
            self._interpreter = module.Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            # the interpreter's message ends with the cause
            lines = str(error).strip().splitlines()
            cause = lines[-1] if lines else "unknown"
            raise ModelFileError(f"{self.name} cannot load this TFLite file: {cause}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelFileError(
                f"expected one input and one output, found {len(inputs)} and {len(outputs)}"
            )
        self.input_shape = tuple(int(size) for size in inputs[0]["shape"])
        self.input_dtype = np.dtype(inputs[0]["dtype"]).name
        self.output_size = int(outputs[0]["shape"][-1])
        self._input_index = int(inputs[0]["index"])
        self._output_index = int(outputs[0]["index"])
        self._dequantize = _dequantizer(outputs[0])
        self._dequantize_byte = _byte_dequantizer(outputs[0])
        # looked up once: a small network takes no longer than a few attribute look-ups
        self._set_tensor = self._interpreter.set_tensor
        self._get_tensor = self._interpreter.get_tensor
        self.invoke = self._interpreter.invoke

    @property
    def name(self) -> str:
        """See `fmx_runtime.backends.base.Backend.name`."""
        # on demand only: reading a package's version takes a tenth of a cold start
        return " ".join((self._package, *versions(self._package).values()))

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """See `fmx_runtime.backends.base.Backend.run`."""
        return self._dequantize(self._infer(tensor)[0])

    def scores(self, tensor: NDArray[Any]) -> list[float]:
        """See `fmx_runtime.backends.base.Backend.scores`."""
        output = self._infer(tensor)
        if self._dequantize_byte:
            return [*map(self._dequantize_byte, output.tobytes())]
        scores: list[float] = self._dequantize(output[0]).tolist()
        return scores

    def _infer(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Return the output tensor, ``(1, classes)``, in the model's own type."""
        self._set_tensor(self._input_index, tensor)
        self.invoke()
        output: NDArray[Any] = self._get_tensor(self._output_index)
        return output


def _import_interpreter(package: BackendName) -> Any:
    """Return the interpreter's module.

    Raises:
        BackendError: it cannot be loaded.
    """
    if package == "tflite-runtime" and not np.__version__.startswith("1."):
        # its import prints a page and ends in a SystemError
        raise BackendError(
            f"{package} was built for NumPy 1, and this is {np.__version__}: "
            "'pip install \"numpy<2\"'"
        )
    try:
        return importlib.import_module(_MODULES[package])
    except ImportError as error:
        raise BackendError(f"{package} is installed but cannot be loaded: {error}") from error


def _dequantizer(details: dict[str, Any]) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return a function that turns output values into float32.

    Args:
        details: of the output tensor, as the interpreter describes it.
    """
    # float32 holds these small integers exactly
    scale, zero_point = map(np.float32, details["quantization"])
    if not scale:  # the output is float32 already
        return lambda output: output
    return lambda output: (output.astype(np.float32) - zero_point) * scale


def _byte_dequantizer(details: dict[str, Any]) -> Callable[[int], float] | None:
    """Return a function that looks up the real value of an output byte, None for other types.

    For a few classes a table of all 256 values is faster than NumPy.
    """
    if details["dtype"] not in {np.uint8, np.int8}:
        return None
    all_bytes = np.arange(256, dtype=np.uint8).view(details["dtype"])
    table: list[float] = _dequantizer(details)(all_bytes).tolist()
    return table.__getitem__
