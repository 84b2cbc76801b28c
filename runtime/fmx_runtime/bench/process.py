"""Start a worker process that measures one model, and read its replies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from fmx_runtime import errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

__all__ = ["Measurement", "measure", "worker_environment"]


class Measurement(NamedTuple):
    """What a worker process measured.

    Attributes:
        first_prediction_s: seconds from the start of the process to its first prediction.
        runtime: interpreter and version.
        peak_bytes: the process's peak memory up to its first prediction.
        values: the reply to the task, see `fmx_runtime.bench.worker`.
    """

    first_prediction_s: float
    runtime: str
    peak_bytes: int
    values: dict[str, list[Any]]


def measure(
    model: Path,
    images: Path,
    *,
    worker: Sequence[str],
    threads: int,
    core: int | None,
    **task: Any,
) -> Measurement:
    """Start a process, have it measure a model, and wait for its end.

    Args:
        model: the model file.
        images: an ``.npy`` file of uint8 ``(n, height, width, channels)``.
        worker: the module that the process runs, and arguments that follow the usual ones.
        threads: the number of interpreter threads.
        core: the processor core to bind the process to; None for all.
        **task: what to measure, see `fmx_runtime.bench.worker`.

    Returns:
        The measurement.

    Raises:
        ModelFileError: The model cannot be opened, or predicts no numbers.
        BackendError: The model's interpreter is not installed, or the process died.
    """
    task |= {"threads": threads, "core": core}
    module, *more = worker
    command = [sys.executable, "-m", module, str(model), str(images), json.dumps(task), *more]
    with tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=worker_environment(threads),
            text=True,
            encoding="utf-8",
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 (for mypy: it is a pipe)
                first_line = process.stdout.readline()
                first_prediction_s = time.perf_counter() - start
                lines = [first_line, process.stdout.readline()]
            except BaseException:
                process.kill()
                raise
        introduction, values = (_parse_reply(line, model, process, stderr) for line in lines)
    return Measurement(
        first_prediction_s=first_prediction_s,
        runtime=introduction["runtime"],
        peak_bytes=introduction["peak_bytes"],
        values=values,
    )


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment variables of a worker process.

    They limit the libraries' thread pools, and hide graphics cards from TensorFlow: devices have
    none, so the Keras model is measured without one.

    Args:
        threads: the number of threads that TensorFlow may use.
    """
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    tensorflow = {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "KERAS_BACKEND": "tensorflow",
    }
    # a file in the current folder must not be taken for a library of the same name (from 3.11 on)
    return {**os.environ, **limits, **tensorflow, "PYTHONSAFEPATH": "1"}


def _parse_reply(
    line: str, model: Path, process: subprocess.Popen[str], stderr: IO[bytes]
) -> dict[str, Any]:
    if not line:
        raise _died(model, process.returncode, stderr)
    reply: dict[str, Any] = json.loads(line)
    if "error" in reply:
        raise getattr(errors, reply["kind"])(reply["error"])
    return reply


def _died(model: Path, code: int, stderr: IO[bytes]) -> errors.BackendError:
    """Return the error that says how the process ended and what it printed last."""
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    stderr.seek(0)
    lines = stderr.read().decode("utf-8", errors="replace").strip().splitlines()
    last = lines[-1].strip() if lines else "it printed nothing"
    return errors.BackendError(
        f"'{model}': the process that measured it died ({how}): {last}; "
        "leave this file out, or make sure that there is enough memory"
    )
