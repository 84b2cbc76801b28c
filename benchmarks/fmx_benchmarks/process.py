"""A worker process, seen from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

from fmx_runtime import errors

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["Worker", "last_core"]

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",  # devices have no graphics card, so Keras gets none
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "KERAS_BACKEND": "tensorflow",
}
_PATIENCE_S = 10


def last_core() -> int | None:
    """The core to measure on, None where processes cannot be bound to one.

    The last one that this process may use: systems like to serve devices with the first.
    """
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None


class Worker:
    """A fresh process with one model in it; leave its context to end it.

    Attributes:
        name: the model file's.
        start_s: seconds from starting the process to its first answer.
        introduction: what it says of itself, see `fmx_benchmarks.worker`.
    """

    def __init__(
        self, model: Path, pictures: Path, *, keras_card: str | None, core: int | None
    ) -> None:
        """Start the process and wait for its first answer.

        Args:
            model: the model's file.
            pictures: ``.npy`` of uint8 ``(n, height, width, channels)``.
            keras_card: given for a Keras model, see `subjects.open_subject`.
            core: the processor core to stay on.

        Raises:
            ModelFileError: the model cannot be opened.
            BackendError: what runs it is not installed, or the process died.
        """
        # -P: a file in the current folder must not be taken for a library of the same name
        command = [sys.executable, "-P", "-m", "fmx_benchmarks.worker", str(model), str(pictures)]
        command += [] if keras_card is None else ["--keras-card", keras_card]
        command += [] if core is None else ["--core", str(core)]
        self.name = model.name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        start = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **_ONE_THREAD},
            text=True,
            encoding="utf-8",
        )
        try:
            self.introduction = self._reply()
        except BaseException:
            self.close()
            raise
        self.start_s = time.perf_counter() - start

    def __enter__(self) -> Self:
        """The worker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Have the process do something, and wait until it is done.

        Args:
            request: see `fmx_benchmarks.worker`.

        Raises:
            BackendError: the process died.
        """
        try:
            assert self._process.stdin is not None  # noqa: S101 (for mypy: it is a pipe)
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        return self._reply()

    def close(self) -> None:
        """End the process, by force if it does not end by itself; again does no harm."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 (for mypy: it is a pipe)
        line = self._process.stdout.readline()
        if not line:
            raise self._death()
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise getattr(errors, reply["kind"])(reply["error"])
        return reply

    def _death(self) -> errors.BackendError:
        """Say how the process ended, and what it said last."""
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._stderr.seek(0)
        said = self._stderr.read().decode("utf-8", errors="replace").strip().splitlines()
        last = said[-1].strip() if said else "it printed nothing"
        return errors.BackendError(
            f"{self.name}: the process that measured it died ({how}): {last}; "
            "leave this file out, or see that there is memory enough"
        )
