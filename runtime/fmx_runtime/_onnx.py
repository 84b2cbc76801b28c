"""ONNX models through onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.reason import reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


class OnnxBackend:
    """One ONNX model; satisfies `fmx_runtime.backend.Backend`. Thread-safe."""

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
                f"{self.name} cannot load this ONNX file: {reason(error)}"
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelFileError(
                f"expected one input and one output, found {len(inputs)} and {len(outputs)}"
            )
        self.input_shape = tuple(size if isinstance(size, int) else 1 for size in inputs[0].shape)
        self.input_dtype = _DTYPES.get(inputs[0].type, inputs[0].type)
        self.output_size = int(outputs[0].shape[-1])
        self._input, self._outputs = inputs[0].name, [outputs[0].name]

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """See `fmx_runtime.backend.Backend.run`."""
        output: NDArray[np.float32] = self._session.run(self._outputs, {self._input: tensor})[0][0]
        return output
