"""A process that opens one model and measures it once; see `fmx_runtime.bench.process`.

::

    python -m fmx_runtime.bench.worker MODEL IMAGES.npy TASK

TASK is a JSON object. ``threads``, for the interpreter, and ``core``, to stay on or null, are
always in it; the other keys say what to do. It prints JSON objects, one a line::

    {"runtime": "…", "peak_bytes": 41324544}              always, after the first answer
    {"latencies_us": [26.3, 26.1, …]}                         to a task with "calls" and "warmup"
    {"rates": [38012.5, …]}                               to one with "batches"
    {"answers": […], "scores": […], "true_scores": […]}   to one with "labels", an .npy of int64
    {"error": "…", "kind": "ModelFileError"}              in the place of any of them

The time to the first line is the model's start: what is not needed until then is imported later.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import numpy as np

from fmx_runtime.errors import FmxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Predictor", "serve"]

_CHUNK = 256
_CALLS_S = 2.0
_RATE_S = 0.2


class Predictor(Protocol):
    """A model, ready to answer; pixels in, probabilities out."""

    @property
    def runtime(self) -> str:
        """Interpreter and version."""

    def answer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer one image, uint8 ``(1, height, width, channels)``: float32 ``(1, classes)``."""

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer n images, uint8 ``(n, height, width, channels)``: float32 ``(n, classes)``."""


def serve(arguments: Sequence[str], open_subject: Callable[[str, int], Predictor]) -> int:
    """Do one task, see above.

    Args:
        arguments: of the process.
        open_subject: called with the model's path and a number of threads.

    Returns:
        The exit code.
    """
    model, images_path, text = arguments
    task = json.loads(text)
    if task["core"] is not None:
        os.sched_setaffinity(0, {task["core"]})
    replies = _own_stdout()
    try:
        images = np.load(images_path, mmap_mode="r")
        subject = open_subject(model, task["threads"])
        subject.answer(np.array(images[:1]))
        _say(replies, {"runtime": subject.runtime, "peak_bytes": _peak_bytes()})
        _say(replies, _measured(subject, images, task))
    except FmxError as error:
        _say(replies, {"error": str(error), "kind": type(error).__name__})
        return error.exit_code
    return 0


class _File:
    """A model file, as a device runs it."""

    def __init__(self, path: str, threads: int) -> None:
        from fmx_runtime.classifier import Classifier

        self._classifier = Classifier(path, threads=threads)
        self.answer = self.predict = self._classifier.predict

    @property
    def runtime(self) -> str:
        return self._classifier.backend


def _measured(
    subject: Predictor, images: NDArray[np.uint8], task: dict[str, Any]
) -> dict[str, list[Any]]:
    from fmx_runtime.bench.latency import rate, time_calls

    if "calls" in task:
        calls, warmup = task["calls"], task["warmup"]
        times = time_calls(subject.answer, images, calls=calls, warmup=warmup, seconds=_CALLS_S)
        return {"latencies_us": [round(value, 2) for value in times]}
    if "batches" in task:
        rates = [
            rate(subject.predict, images, batch=batch, seconds=_RATE_S) for batch in task["batches"]
        ]
        return {"rates": [round(value, 1) for value in rates]}
    rows = np.concatenate(
        [
            subject.predict(np.ascontiguousarray(images[i : i + _CHUNK]))
            for i in range(0, len(images), _CHUNK)
        ]
    )
    true = rows[np.arange(len(rows)), np.load(task["labels"])]
    return {
        "answers": rows.argmax(axis=1).tolist(),
        "scores": rows.max(axis=1).astype(float).round(4).tolist(),
        # these may be small, and count by their logarithm
        "true_scores": [float(f"{value:.4g}") for value in true.tolist()],
    }


def _own_stdout() -> TextIO:
    """Standard output for replies alone: what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _say(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _peak_bytes() -> int:
    """The most memory this process ever held.

    Linux's VmHWM begins anew with each program; ru_maxrss, all that other systems have, is handed
    down from the process that started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in status if line[:6] == "VmHWM:")
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], _File))
