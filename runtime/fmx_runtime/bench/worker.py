"""The worker process: opens one model and measures it once. See `fmx_runtime.bench.process`.

::

    python -m fmx_runtime.bench.worker MODEL IMAGES.npy TASK

TASK is a JSON object. ``threads`` (interpreter threads) and ``core`` (the processor core to stay
on, or null) are always in it; the other keys say what to measure. The worker prints JSON objects,
one a line::

    {"runtime": "…", "peak_bytes": 41324544}                   always, after the first prediction
    {"latencies_us": [26.3, 26.1, …]}                          for "iterations" and "warmup"
    {"images_per_second": [38012.5, …]}                        for "batches"
    {"predictions": […], "scores": […], "true_label_scores": […]}  for "labels", an .npy of int64
    {"error": "…", "kind": "ModelFileError"}                   instead of any of them

The time to the first line is the time to first prediction, so everything that the first prediction
does not need is imported after it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import numpy as np

from fmx_runtime.errors import FmxError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Predictor", "serve"]

_BATCH = 256
_LATENCY_SECONDS = 2.0
_THROUGHPUT_SECONDS = 0.2


class Predictor(Protocol):
    """A loaded model: takes pixels, returns scores."""

    @property
    def runtime(self) -> str:
        """Interpreter and version."""

    def predict_one(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict one image, uint8 ``(1, height, width, channels)``: float32 ``(1, classes)``."""

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict n images, uint8 ``(n, height, width, channels)``: float32 ``(n, classes)``."""


def serve(arguments: Sequence[str], open_predictor: Callable[[str, int], Predictor]) -> int:
    """Do one task, as the module's docstring describes.

    Args:
        arguments: the process's arguments: model, images, task.
        open_predictor: called with the model's path and the number of threads.

    Returns:
        The exit code.
    """
    model, images_path, text = arguments
    task = json.loads(text)
    if task["core"] is not None:
        os.sched_setaffinity(0, {task["core"]})
    replies = _claim_stdout()
    try:
        images = np.load(images_path, mmap_mode="r")
        predictor = open_predictor(model, task["threads"])
        predictor.predict_one(np.array(images[:1]))
        _write(replies, {"runtime": predictor.runtime, "peak_bytes": _peak_bytes()})
        _write(replies, _measure(predictor, images, task, model))
    except FmxError as error:
        _write(replies, {"error": str(error), "kind": type(error).__name__})
        return error.exit_code
    return 0


class _ModelFile:
    """A model file, opened as a device opens it."""

    def __init__(self, path: str, threads: int) -> None:
        from fmx_runtime.classifier import Classifier

        self._classifier = Classifier(path, threads=threads)
        self.predict_one = self.predict = self._classifier.predict

    @property
    def runtime(self) -> str:
        return self._classifier.backend


def _measure(
    predictor: Predictor, images: NDArray[np.uint8], task: dict[str, Any], model: str
) -> dict[str, list[Any]]:
    """Do what the task says, and return the reply to it."""
    from fmx_runtime.bench.latency import time_batches, time_calls

    if "iterations" in task:
        times = time_calls(
            predictor.predict_one,
            images,
            iterations=task["iterations"],
            warmup=task["warmup"],
            seconds=_LATENCY_SECONDS,
        )
        return {"latencies_us": [round(value, 2) for value in times]}
    if "batches" in task:
        throughputs = [
            time_batches(predictor.predict, images, batch=batch, seconds=_THROUGHPUT_SECONDS)
            for batch in task["batches"]
        ]
        return {"images_per_second": [round(value, 1) for value in throughputs]}
    return _predict_all(predictor, images, np.load(task["labels"]), model)


def _predict_all(
    predictor: Predictor, images: NDArray[np.uint8], labels: NDArray[np.int64], model: str
) -> dict[str, list[Any]]:
    """Predict each image once.

    Raises:
        ModelFileError: A score is not a finite number.
    """
    scores = np.concatenate(
        [
            predictor.predict(np.ascontiguousarray(images[i : i + _BATCH]))
            for i in range(0, len(images), _BATCH)
        ]
    )
    if not np.isfinite(scores).all():
        bad = np.count_nonzero(~np.isfinite(scores).all(axis=1))
        raise ModelFileError(
            f"'{model}': the scores of {bad:,} of {len(scores):,} images are not finite numbers; "
            "export the model again"
        )
    true_label_scores = scores[np.arange(len(scores)), labels]
    return {
        "predictions": scores.argmax(axis=1).tolist(),
        "scores": scores.max(axis=1).astype(float).round(4).tolist(),
        # significant digits, as these may be small and enter the log loss by their logarithm
        "true_label_scores": [float(f"{value:.4g}") for value in true_label_scores.tolist()],
    }


def _claim_stdout() -> TextIO:
    """Return a stream for replies alone; what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _write(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply, allow_nan=False) + "\n")
    replies.flush()


def _peak_bytes() -> int:
    """Return the peak memory of this process.

    Linux's VmHWM starts anew with each program; ru_maxrss, all that other systems have, is
    inherited from the process that started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in status if line[:6] == "VmHWM:")
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], _ModelFile))
