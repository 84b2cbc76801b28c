"""Find out in a sandbox process what an external model takes and returns.

Interpreters trust the bytes that they are given. A damaged or hostile file can make them crash, run
forever or fill the memory, and Python cannot catch any of that. So a file without checked metadata
is opened in a child process first, where it has to classify two images. If that process
ends early, the reason becomes an error message::

    python -m fmx_runtime.model_file.sandbox BACKEND THREADS < MODEL

The sandbox limits time and memory. It does not limit what code may do: a file that exploits a flaw
of the interpreter has the rights of the user.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fmx_runtime.backends.base import available_backends, detect_format
from fmx_runtime.backends.selection import open_backend
from fmx_runtime.errors import BackendError, FmxError, ModelFileError
from fmx_runtime.support import json_codec
from fmx_runtime.support.error_summary import error_summary
from fmx_runtime.support.packages import versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.backends.base import Backend, BackendName

__all__ = ["ModelSignature", "run_in_sandbox"]

_TIMEOUT_S = 10
"""Time for starting Python, opening the file and classifying two images."""

_MEMORY_BYTES = 512 << 20
"""Memory for a model, besides four times its file, which interpreters copy and unpack."""

_READY = "ready\n"
"""The child's first output: failures after it are the model's fault."""

_ANY_BACKEND = "any"
_CHANNELS = (1, 3)
_IMAGE_DIMENSIONS = 4
_MIN_CLASSES = 2
_QUANTIZED_STEPS = 256  # of a probability that is stored in eight bits
_SUM_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class ModelSignature:
    """What a model takes and returns, one image at a time.

    The input tensor is ``(1, height, width, channels)`` of type ``dtype``.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    dtype: Literal["float32", "uint8"]
    classes: int
    probabilities: bool
    """Whether the outputs were between 0 and 1 and summed to 1, except for 8-bit rounding."""


def run_in_sandbox(content: bytes, *, backend: BackendName | None, threads: int) -> ModelSignature:
    """Run a model on a black image and a random one in a child process.

    Takes as long as starting Python and the interpreter does. The child may use `_TIMEOUT_S` and
    `_MEMORY_BYTES`, and leaves no core dump.

    Args:
        content: the whole file.
        backend: the interpreter; None takes the first installed one that runs the format.
        threads: number of threads for one inference, at least 1.

    Raises:
        ModelFileError: the model ends the process, takes too long, is refused, or does not take
            one image and return one number for each class.
        BackendError: no interpreter for it is installed, or no process can be started.
    """
    command = [sys.executable, "-m", __name__, backend or _ANY_BACKEND, str(threads)]
    # the child imports what this process would, and nothing from the user's current folder
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100
    try:
        done = subprocess.run(
            command,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
            cwd=os.sep,
            env={**os.environ, "PYTHONPATH": paths},
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFileError(
            f"keeps {_interpreter(content, backend)} busy for more than {_TIMEOUT_S} s: "
            "it is damaged, or too large for this machine"
        ) from error
    except OSError as error:
        raise BackendError(
            f"cannot be run in a sandbox: no process can be started ({error.strerror})"
        ) from error
    output = done.stdout.decode("utf-8", "replace")
    if not output.startswith(_READY):
        raise BackendError(
            f"cannot be run in a sandbox: '{sys.executable}' does not run fmx-runtime"
        )
    try:
        report = json_codec.parse(output[len(_READY) :])
        if "refusal" not in report:
            return json_codec.decode(ModelSignature, report)
    except json_codec.CodecError as error:
        raise ModelFileError(
            f"ends the process of {_interpreter(content, backend)} "
            f"({_describe_exit(done.returncode)}): it is damaged, or made for another version"
        ) from error
    kind = BackendError if report["interpreter_missing"] else ModelFileError
    raise kind(report["refusal"])


def _interpreter(content: bytes, backend: BackendName | None) -> str:
    """Return name and version of the interpreter that the child has used before it died."""
    model_format = detect_format(content)
    installed = available_backends(model_format) if model_format else ()
    name: str = backend or next(iter(installed), "Python")
    return f"{name} {versions(name).get(name, '')}".strip()


def _describe_exit(code: int) -> str:
    """Return how a process ended, for example ``signal SIGSEGV``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no name
        return f"signal {-code}"


def _main() -> None:
    """Run the child process: read a model on stdin, write its signature or a refusal on stdout."""
    backend, threads = sys.argv[1], int(sys.argv[2])
    report_stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # native libraries print to both, and stdout must hold nothing but the report
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 1)
    os.dup2(null_device, 2)
    content = sys.stdin.buffer.read()
    print(end=_READY, file=report_stream, flush=True)
    _limit_resources(len(content), threads)
    try:
        name: Any = None if backend == _ANY_BACKEND else backend
        report = _read_signature(open_backend(content, backend=name, threads=threads))
    except FmxError as error:
        report = _refusal(str(error), interpreter_missing=isinstance(error, BackendError))
    except MemoryError:
        report = _refusal(f"needs more than {_MEMORY_BYTES >> 20} MB of memory")
    # interpreters raise exceptions of many types when a model cannot be run
    except Exception as error:  # noqa: BLE001
        report = _refusal(f"cannot be run: {error_summary(error)}")
    json.dump(report, report_stream)
    report_stream.flush()
    os._exit(0)  # a damaged model may crash while it is freed


def _refusal(message: str, *, interpreter_missing: bool = False) -> dict[str, Any]:
    return {"refusal": message, "interpreter_missing": interpreter_missing}


def _limit_resources(size: int, threads: int) -> None:
    """Limit this process's core dumps, memory and processor time.

    The limit of processor time ends the child also where its parent was killed meanwhile.

    Args:
        size: bytes of the model file.
        threads: number of threads for one inference.
    """
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, _MEMORY_BYTES + 4 * size),
        (resource.RLIMIT_CPU, 2 * _TIMEOUT_S * threads),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _read_signature(model: Backend) -> dict[str, Any]:
    """Return the `ModelSignature` as a JSON object.

    Raises:
        ModelFileError: the model does not classify single images with channels last.
    """
    import numpy as np

    _check_input(model.input_shape, model.input_dtype)
    black = np.zeros(model.input_shape, model.input_dtype)
    noise = np.random.default_rng(0).uniform(0, 255, model.input_shape).astype(model.input_dtype)
    outputs = [model.run(tensor) for tensor in (black, noise)]
    for output in outputs:
        if (
            output.dtype != np.float32
            or output.shape != (model.output_size,)
            or output.size < _MIN_CLASSES
        ):
            raise ModelFileError(
                f"returns {output.dtype} {(1, *output.shape)}, expected one number for each of at "
                "least two classes: it is not an image classifier"
            )
        if not np.isfinite(output).all():
            raise ModelFileError("returns values that are not finite: it is damaged")
    _, height, width, channels = model.input_shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "dtype": model.input_dtype,
        "classes": model.output_size,
        "probabilities": _are_probabilities(np.stack(outputs)),
    }


def _check_input(shape: tuple[int, ...], dtype: str) -> None:
    """Raise a `ModelFileError` unless the input is one image, channels last, of a known type."""
    is_image = len(shape) == _IMAGE_DIMENSIONS
    if is_image and shape[1] in _CHANNELS and shape[3] not in _CHANNELS:
        raise ModelFileError(
            f"takes images as {shape}, channels first; convert it to channels last, "
            "for example with onnx2tf"
        )
    if not is_image or shape[0] != 1 or shape[3] not in _CHANNELS:
        raise ModelFileError(f"takes {shape}, expected one image (1, height, width, 1 or 3)")
    if 1 in shape[1:3]:
        raise ModelFileError("has a variable image size; export it with a fixed height and width")
    if dtype not in {"float32", "uint8"}:
        raise ModelFileError(
            f"takes {dtype} values, expected float32 or uint8; convert it again, for int8 with "
            "'converter.inference_input_type = tf.uint8'"
        )


def _are_probabilities(outputs: NDArray[Any]) -> bool:
    """Return whether each row of ``(n, classes)`` is a probability distribution.

    Outputs that are stored in eight bits may each be half a step off.
    """
    steps = outputs * _QUANTIZED_STEPS
    quantized = bool((steps == steps.round()).all())
    rounding = outputs.shape[1] / 2 / _QUANTIZED_STEPS if quantized else 0
    error = abs(outputs.sum(axis=1) - 1).max()
    return bool(outputs.min() >= 0 and outputs.max() <= 1 and error <= rounding + _SUM_TOLERANCE)


if __name__ == "__main__":
    _main()
