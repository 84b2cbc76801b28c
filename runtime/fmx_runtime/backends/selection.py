"""Choose an interpreter for a model file, and open the file with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.backends.base import INTERPRETERS, available_backends, detect_format
from fmx_runtime.errors import BackendError, ModelFileError

if TYPE_CHECKING:
    from fmx_runtime.backends.base import Backend, BackendName, ModelFormat

__all__ = ["open_backend"]


def open_backend(content: bytes, *, backend: BackendName | None, threads: int) -> Backend:
    """Open a model with an interpreter that can run it.

    Args:
        content: the model file's bytes.
        backend: the interpreter; None takes the first installed one that runs the format.
        threads: number of threads for one inference, at least 1.

    Raises:
        ModelFileError: the file is neither a TFLite nor an ONNX model, or is damaged.
        BackendError: the interpreter is not installed, or does not run this format.
    """
    model_format = detect_format(content)
    if model_format is None:
        raise ModelFileError("neither a TFLite nor an ONNX model")
    chosen = _choose(model_format, backend)
    # imported on demand: the libraries of the other one may not be installed
    if chosen == "onnxruntime":
        from fmx_runtime.backends.onnxruntime import OnnxBackend

        return OnnxBackend(content, threads=threads)
    from fmx_runtime.backends.litert import LiteRTBackend

    return LiteRTBackend(content, threads=threads, package=chosen)


def _choose(model_format: ModelFormat, backend: BackendName | None) -> BackendName:
    """Return the installed interpreter to use.

    Raises:
        BackendError: it is not installed, or does not run the format.
    """
    choices = INTERPRETERS[model_format]
    if backend is not None and backend not in choices:
        raise BackendError(
            f"{backend} does not run {model_format} models; choose {' or '.join(choices)}"
        )
    installed = available_backends(model_format)
    if backend in installed:
        return backend
    if backend is None and installed:
        return installed[0]
    from fmx_runtime.backends.install_hints import Platform, install_hint

    here = Platform.here()
    missing = f"{backend} is not" if backend else f"no interpreter for {model_format} models is"
    raise BackendError(
        f"{missing} installed on this machine ({here}): {install_hint(backend or choices[0], here)}"
    )
