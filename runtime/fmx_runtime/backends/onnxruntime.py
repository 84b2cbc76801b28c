"""ONNX models through onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_FLOAT = "tensor(float)"
_DTYPES = {_FLOAT: "float32", "tensor(uint8)": "uint8"}


class OnnxBackend:
    """One ONNX model; satisfies `fmx_runtime.backends.base.Backend`. Not thread-safe."""

    def __init__(self, content: bytes, *, threads: int) -> None:
        """Open a session on the processor.

        Raises:
            BackendError: onnxruntime is installed, but cannot be loaded.
            ModelFileError: onnxruntime refuses the file.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(f"onnxruntime is installed but cannot be loaded: {error}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # exact sums on x86 without VNNI too, where 16 bits would overflow
        options.add_session_config_entry("session.x64quantprecision", "1")
        self.name = f"onnxruntime {onnxruntime.__version__}"
        try:
            self._session = onnxruntime.InferenceSession(
                content,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # it would try again, and print to stdout that it does
            )
        # its exceptions derive from Exception and share no public base
        except Exception as error:
            raise ModelFileError(
                f"{self.name} cannot load this ONNX file: {error_summary(error)}"
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelFileError(
                f"expected one input and one output, found {len(inputs)} and {len(outputs)}"
            )
        if inputs[0].type not in _DTYPES or outputs[0].type != _FLOAT:
            raise ModelFileError(
                f"takes {inputs[0].type} and gives {outputs[0].type}, expected "
                f"{' or '.join(_DTYPES)}, and {_FLOAT}"
            )
        self.input_shape = _sizes(inputs[0].shape)
        self.input_dtype = _DTYPES[inputs[0].type]
        output_shape = _sizes(outputs[0].shape)
        self.output_size = output_shape[-1]
        # bound once to arrays of our own: a call then neither looks names up nor makes arrays,
        # which takes a microsecond and more
        self._tensor = np.zeros(self.input_shape, self.input_dtype)
        self._answer = np.zeros(output_shape, np.float32)
        self._binding = self._session.io_binding()
        self._bind(self._binding.bind_input, inputs[0].name, self._tensor)
        self._bind(self._binding.bind_output, outputs[0].name, self._answer)

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """See `fmx_runtime.backends.base.Backend.run`."""
        return np.array(self.scores(tensor), np.float32)

    def scores(self, tensor: NDArray[Any]) -> list[float]:
        """See `fmx_runtime.backends.base.Backend.scores`."""
        self._tensor[...] = tensor
        self._session.run_with_iobinding(self._binding)
        numbers: list[float] = self._answer[0].tolist()
        return numbers

    @staticmethod
    def _bind(bind: Callable[..., None], name: str, array: NDArray[Any]) -> None:
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _sizes(shape: Sequence[Any]) -> tuple[int, ...]:
    """A tensor's shape for one image: sizes that the file leaves open are 1."""
    return tuple(size if isinstance(size, int) else 1 for size in shape)
