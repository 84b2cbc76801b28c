"""What a model file is that does not say it itself: found out in a process of its own.

Interpreters believe the bytes that they are given. A damaged or hostile file makes them crash, run
for ever or fill the memory, and nothing that Python could catch is raised then. So such a file is
opened, and answers two images, in a child process first; whatever ends that one is an error
message here::

    python -m fmx_runtime.model_file.sandbox BACKEND THREADS < MODEL

A file that has passed is one that this interpreter can open; it may still be made to harm whoever
opens it, as a program may.
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

from fmx_runtime.backends.base import available, detect_format, open_backend
from fmx_runtime.errors import BackendError, FmxError, ModelFileError
from fmx_runtime.support import json_codec
from fmx_runtime.support.error_summary import error_summary
from fmx_runtime.support.packages import versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.backends.base import Backend, BackendName

__all__ = ["Findings", "probe"]

_SECONDS = 10
"""How long starting Python, opening the file and two answers may take."""

_MEMORY_BYTES = 512 << 20
"""What a model may take besides four times its file, which interpreters copy and unpack."""

_READY = "ready\n"  # the first thing that the child says: from here on the model is to blame
_ANY_BACKEND = "any"
_COLOURS = (1, 3)
_STEPS = 256  # what interpreters round probabilities to in eight bits


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a model takes and gives, one image at a time.

    The input tensor is ``(1, height, width, channels)`` and of ``dtype``.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    dtype: Literal["float32", "uint8"]
    classes: int
    probabilities: bool
    """Whether the answers were between 0 and 1 and summed to 1, but for rounding to eight bits."""


def probe(content: bytes, *, backend: BackendName | None, threads: int) -> Findings:
    """Open a model and have it answer a black image and a random one, in a process of its own.

    Takes as long as starting Python and the interpreter does; the child may use `_SECONDS` and
    `_MEMORY_BYTES`, and leaves no core dump behind.

    Args:
        content: the whole file.
        backend: the interpreter; None takes the first installed one that fits.
        threads: for one inference, at least 1.

    Raises:
        ModelFileError: it ends the process, takes too long, is refused, or does not take one
            image and give one number for each class.
        BackendError: no interpreter for it is installed, or no process can be started.
    """
    child = [sys.executable, "-m", __name__, backend or _ANY_BACKEND, str(threads)]
    # the child finds what this process has found, and nothing that lies in the user's folder
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100
    try:
        done = subprocess.run(
            child,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
            cwd=os.sep,
            env={**os.environ, "PYTHONPATH": paths},
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFileError(
            f"keeps {_interpreter(content, backend)} busy for more than {_SECONDS} s: "
            "it is damaged, or too large for this machine"
        ) from error
    except OSError as error:
        raise BackendError(
            f"cannot be tried: no process can be started ({error.strerror})"
        ) from error
    said = done.stdout.decode("utf-8", "replace")
    if not said.startswith(_READY):
        raise BackendError(f"cannot be tried: '{sys.executable}' does not run fmx-runtime")
    try:
        report = json_codec.parse(said[len(_READY) :])
        if "refusal" not in report:
            return json_codec.decode(Findings, report)
    except json_codec.CodecError as error:
        raise ModelFileError(
            f"ends the process of {_interpreter(content, backend)} ({_end(done.returncode)}): "
            "it is damaged, or made for another version"
        ) from error
    kind = BackendError if report["interpreter_missing"] else ModelFileError
    raise kind(report["refusal"])


def _interpreter(content: bytes, backend: BackendName | None) -> str:
    """Name and version of the one that the child has taken, which it could not say any more."""
    onnx = detect_format(content) == "onnx"
    fitting = (name for name in available() if (name == "onnxruntime") is onnx)
    name: str = backend or next(fitting, "Python")
    return f"{name} {versions(name).get(name, '')}".strip()


def _end(code: int) -> str:
    """How a process has ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no name
        return f"signal {-code}"


def _main() -> None:
    """The child: reads a model, says on stdout what it is; native libraries' words go nowhere."""
    backend, threads = sys.argv[1], int(sys.argv[2])
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    content = sys.stdin.buffer.read()
    print(end=_READY, file=answer, flush=True)
    _limit(len(content), threads)
    try:
        name: Any = None if backend == _ANY_BACKEND else backend
        report = _examine(open_backend(content, backend=name, threads=threads))
    except FmxError as error:
        report = _refusal(str(error), interpreter_missing=isinstance(error, BackendError))
    except MemoryError:
        report = _refusal(f"needs more than {_MEMORY_BYTES >> 20} MB of memory")
    # interpreters raise many kinds when a model cannot be run
    except Exception as error:  # noqa: BLE001
        report = _refusal(f"cannot be run: {error_summary(error)}")
    json.dump(report, answer)
    answer.flush()
    os._exit(0)  # what is damaged need not be taken down in good order


def _refusal(why: str, *, interpreter_missing: bool = False) -> dict[str, Any]:
    return {"refusal": why, "interpreter_missing": interpreter_missing}


def _limit(size: int, threads: int) -> None:
    """Bound what this process may use; time too, for should its parent be ended meanwhile."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, _MEMORY_BYTES + 4 * size),
        (resource.RLIMIT_CPU, 2 * _SECONDS * threads),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def _examine(model: Backend) -> dict[str, Any]:
    """The `Findings` as an object for JSON.

    Raises:
        ModelFileError: no classifier of single images, channels last.
    """
    import numpy as np

    _check_input(model.input_shape, model.input_dtype)
    black = np.zeros(model.input_shape, model.input_dtype)
    noise = np.random.default_rng(0).uniform(0, 255, model.input_shape).astype(model.input_dtype)
    answers = [model.run(tensor) for tensor in (black, noise)]
    for answer in answers:
        if answer.dtype != np.float32 or answer.shape != (model.output_size,) or answer.size < 2:  # noqa: PLR2004
            raise ModelFileError(
                f"answers with {answer.dtype} {(1, *answer.shape)}, expected one number for each "
                "of at least two classes: it does not classify images"
            )
        if not np.isfinite(answer).all():
            raise ModelFileError("answers with what is no number: it is damaged")
    _, height, width, channels = model.input_shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "dtype": model.input_dtype,
        "classes": model.output_size,
        "probabilities": _are_probabilities(np.stack(answers)),
    }


def _check_input(shape: tuple[int, ...], dtype: str) -> None:
    if len(shape) == 4 and shape[1] in _COLOURS and shape[3] not in _COLOURS:  # noqa: PLR2004
        raise ModelFileError(
            f"takes images as {shape}, channels first; convert it to channels last, "
            "for example with onnx2tf"
        )
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in _COLOURS:  # noqa: PLR2004
        raise ModelFileError(f"takes {shape}, expected one image (1, height, width, 1 or 3)")
    if 1 in shape[1:3]:
        raise ModelFileError(
            "leaves the size of its images open; export it with a fixed height and width"
        )
    if dtype not in {"float32", "uint8"}:
        raise ModelFileError(
            f"takes {dtype} values, expected float32 or uint8; convert it again, for int8 with "
            "'converter.inference_input_type = tf.uint8'"
        )


def _are_probabilities(answers: NDArray[Any]) -> bool:
    """Of ``(n, classes)``: in eight bits, up to half a step of each class may have been lost."""
    steps = answers * _STEPS
    lost = answers.shape[1] / 2 / _STEPS if (steps == steps.round()).all() else 0
    off = abs(answers.sum(axis=1) - 1).max()
    return bool(answers.min() >= 0 and answers.max() <= 1 and off <= lost + 0.01)


if __name__ == "__main__":
    _main()
