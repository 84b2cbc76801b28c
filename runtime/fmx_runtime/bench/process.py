"""A measuring process, seen from outside."""

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

__all__ = ["Measured", "environment", "last_core", "measure"]


class Measured(NamedTuple):
    """What a process said.

    Attributes:
        start_s: seconds from its start to its first answer.
        runtime: interpreter and version.
        peak_bytes: the most memory that it held up to the first answer.
        values: what it was asked for, see `fmx_runtime.bench.worker`.
    """

    start_s: float
    runtime: str
    peak_bytes: int
    values: dict[str, list[Any]]


def last_core() -> int | None:
    """The core to measure on, None where processes cannot be bound to one.

    The last one that this process may use: systems like to serve devices with the first.
    """
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None


def measure(
    model: Path,
    images: Path,
    *,
    worker: Sequence[str],
    threads: int,
    core: int | None,
    **task: Any,
) -> Measured:
    """Start a process, have it measure a model, and wait for its end.

    Args:
        model: the model's file.
        images: ``.npy`` of uint8 ``(n, height, width, channels)``.
        worker: the module that the process runs, and what it takes after the usual arguments.
        threads: of the interpreter.
        core: the processor core to stay on.
        task: what to do, see `fmx_runtime.bench.worker`.

    Raises:
        ModelFileError: the model cannot be opened.
        BackendError: what runs it is not installed, or the process died.
    """
    task |= {"threads": threads, "core": core}
    module, *more = worker
    command = [sys.executable, "-m", module, str(model), str(images), json.dumps(task), *more]
    with tempfile.TemporaryFile() as complaints:
        start = time.perf_counter()
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment(threads),
            text=True,
            encoding="utf-8",
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 (for mypy: it is a pipe)
                first = process.stdout.readline()
                start_s = time.perf_counter() - start
                lines = [first, process.stdout.readline()]
            except BaseException:
                process.kill()
                raise
        introduction, values = (_reply(line, model, process, complaints) for line in lines)
    return Measured(
        start_s=start_s,
        runtime=introduction["runtime"],
        peak_bytes=introduction["peak_bytes"],
        values=values,
    )


def environment(threads: int) -> dict[str, str]:
    """The process's variables: no more threads than are asked for, and no graphics metadata."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    tensorflow = {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",  # devices have no graphics metadata, so Keras gets none
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "KERAS_BACKEND": "tensorflow",
    }
    # a file in the current folder must not be taken for a library of the same name (from 3.11 on)
    return {**os.environ, **limits, **tensorflow, "PYTHONSAFEPATH": "1"}


def _reply(
    line: str, model: Path, process: subprocess.Popen[str], complaints: IO[bytes]
) -> dict[str, Any]:
    if not line:
        raise _death(model, process.returncode, complaints)
    reply: dict[str, Any] = json.loads(line)
    if "error" in reply:
        raise getattr(errors, reply["kind"])(reply["error"])
    return reply


def _death(model: Path, code: int, complaints: IO[bytes]) -> errors.BackendError:
    """Say how the process ended, and what it said last."""
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    complaints.seek(0)
    said = complaints.read().decode("utf-8", errors="replace").strip().splitlines()
    last = said[-1].strip() if said else "it printed nothing"
    return errors.BackendError(
        f"'{model}': the process that measured it died ({how}): {last}; "
        "leave this file out, or see that there is memory enough"
    )
