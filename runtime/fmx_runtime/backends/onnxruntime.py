"""Run ONNX models with onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["OnnxBackend"]

_FLOAT = "tensor(float)"
_DTYPES = {_FLOAT: "float32", "tensor(uint8)": "uint8"}
_ERRORS_ONLY = 3  # of ONNX Runtime's log severities


class OnnxBackend:
    """One ONNX model; satisfies `fmx_runtime.backends.base.Backend`. Not thread-safe."""

    def __init__(self, content: bytes, *, threads: int) -> None:
        """Open a session that runs on the CPU.

        Args:
            content: the model file's bytes.
            threads: number of threads for one inference.

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
        options.log_severity_level = _ERRORS_ONLY
        # exact sums also on x86 without VNNI, where sums of products would saturate at 16 bits
        options.add_session_config_entry("session.x64quantprecision", "1")
        self.name = f"onnxruntime {onnxruntime.__version__}"
        try:
            self._session = onnxruntime.InferenceSession(
                content,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # otherwise it retries, and prints that to stdout
            )
        # ONNX Runtime's exceptions have no public base class
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
        self.input_shape = _fixed_shape(inputs[0].shape)
        self.input_dtype = _DTYPES[inputs[0].type]
        output_shape = _fixed_shape(outputs[0].shape)
        self.output_size = output_shape[-1]
        # bound once to preallocated arrays: looking names up and allocating arrays takes more than
        # a microsecond for each call
        self._input = np.zeros(self.input_shape, self.input_dtype)
        self._output = np.zeros(output_shape, np.float32)
        self._binding = self._session.io_binding()
        self._bind(self._binding.bind_input, inputs[0].name, self._input)
        self._bind(self._binding.bind_output, outputs[0].name, self._output)

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """See `fmx_runtime.backends.base.Backend.run`."""
        return np.array(self.scores(tensor), np.float32)

    def scores(self, tensor: NDArray[Any]) -> list[float]:
        """See `fmx_runtime.backends.base.Backend.scores`."""
        self._input[...] = tensor
        self._session.run_with_iobinding(self._binding)
        scores: list[float] = self._output[0].tolist()
        return scores

    @staticmethod
    def _bind(bind: Callable[..., None], name: str, array: NDArray[Any]) -> None:
        """Bind a tensor to an array's memory."""
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _fixed_shape(shape: Sequence[Any]) -> tuple[int, ...]:
    """Return a tensor's shape for one image: sizes that the file leaves open are 1."""
    return tuple(size if isinstance(size, int) else 1 for size in shape)
