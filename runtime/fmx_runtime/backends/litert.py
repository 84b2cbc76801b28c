"""TFLite models through ai-edge-litert, or through tflite-runtime where that is what there is."""

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

_MODULES: dict[BackendName, str] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


class LiteRTBackend:
    """One TFLite model; satisfies `fmx_runtime.backends.base.Backend`. Not thread-safe."""

    def __init__(self, content: bytes, *, threads: int, package: BackendName) -> None:
        """Allocate the tensors of the model in ``content``.

        Raises:
            BackendError: the interpreter is installed, but cannot be loaded.
            ModelFileError: the interpreter refuses the file.
        """
        if package == "tflite-runtime" and not np.__version__.startswith("1."):
            # it would print a page, and then end in a SystemError
            raise BackendError(
                f"{package} was built for NumPy 1, and this is {np.__version__}: "
                "'pip install \"numpy<2\"'"
            )
        try:
            module = importlib.import_module(_MODULES[package])
        except ImportError as error:
            raise BackendError(f"{package} is installed but cannot be loaded: {error}") from error
        self._package = package
        try:
            self._interpreter = module.Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else "unknown"
            raise ModelFileError(f"{self.name} cannot load this TFLite file: {reason}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelFileError(
                f"expected one input and one output, found {len(inputs)} and {len(outputs)}"
            )
        self.input_shape = tuple(int(size) for size in inputs[0]["shape"])
        self.input_dtype = np.dtype(inputs[0]["dtype"]).name
        self.output_size = int(outputs[0]["shape"][-1])
        self._input, self._output = int(inputs[0]["index"]), int(outputs[0]["index"])
        self._numbers = _numbers(outputs[0])
        self._of_byte = _of_byte(outputs[0])
        # looked up once: small networks answer in the time of a few look-ups
        self._set, self._get = self._interpreter.set_tensor, self._interpreter.get_tensor
        self.invoke = self._interpreter.invoke

    @property
    def name(self) -> str:
        """See `fmx_runtime.backends.base.Backend.name`; found out only when it is asked for."""
        return " ".join((self._package, *versions(self._package).values()))

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """See `fmx_runtime.backends.base.Backend.run`."""
        return self._numbers(self._answer(tensor)[0])

    def scores(self, tensor: NDArray[Any]) -> list[float]:
        """See `fmx_runtime.backends.base.Backend.scores`."""
        output = self._answer(tensor)
        if self._of_byte:
            return [*map(self._of_byte, output.tobytes())]
        numbers: list[float] = self._numbers(output[0]).tolist()
        return numbers

    def _answer(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """The output tensor, ``(1, classes)``."""
        self._set(self._input, tensor)
        self.invoke()
        output: NDArray[Any] = self._get(self._output)
        return output


def _numbers(details: dict[str, Any]) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """What makes numbers of the output tensor's values, which may be integers for them."""
    # float32 holds these small integers exactly
    scale, zero_point = map(np.float32, details["quantization"])
    if not scale:
        return lambda output: output
    return lambda output: (output.astype(np.float32) - zero_point) * scale


def _of_byte(details: dict[str, Any]) -> Callable[[int], float] | None:
    """What looks up the number that a byte of the output tensor stands for, if it has bytes."""
    if details["dtype"] not in {np.uint8, np.int8}:
        return None
    every = np.arange(256, dtype=np.uint8).view(details["dtype"])
    table: list[float] = _numbers(details)(every).tolist()
    return table.__getitem__
