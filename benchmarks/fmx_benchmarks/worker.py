"""The process that holds one model and measures it: ``python -m fmx_benchmarks.worker``.

It opens the model, answers one picture and says so; then it does what it is told, until its
standard input ends. Requests and replies are JSON objects, one a line::

    -> {"card": "…", "runtime": "…", "peak_bytes": 41324544}              once, unasked
    <- {"do": "pass", "chunk": 1000}
    -> {"pass_s": 0.31, "answers": [9, 2, …], "scores": [0.9961, …]}
    <- {"do": "calls", "calls": 500, "warmup": 50}
    -> {"calls_us": [26.3, 26.1, …]}
    -> {"error": "…", "kind": "ModelFileError"}                           instead of any reply
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from fmx_benchmarks.latency import time_calls, time_pass
from fmx_benchmarks.subjects import open_subject
from fmx_runtime.card import ModelCard
from fmx_runtime.errors import FmxError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_benchmarks.subjects import Subject

__all__ = ["main"]

_STATUS = Path("/proc/self/status")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one model; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fmx_benchmarks.worker")
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, help=".npy, uint8 (n, height, width, channels)")
    parser.add_argument("--keras-card", help="the model is a Keras one, this is its card")
    parser.add_argument("--core", type=int, help="stay on this processor core")
    options = parser.parse_args(argv)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    replies = _own_stdout()
    try:
        subject = open_subject(options.model, options.keras_card)
        pictures = np.load(options.pictures, mmap_mode="r")
        _check_shape(options.model, subject, pictures)
        subject.answer(np.array(pictures[:1]))
        _say(replies, _introduction(subject))
        for line in sys.stdin:
            _say(replies, _obey(json.loads(line), subject, pictures))
    except FmxError as error:
        _say(replies, {"error": str(error), "kind": type(error).__name__})
        return error.exit_code
    return 0


def _check_shape(model: Path, subject: Subject, pictures: NDArray[np.uint8]) -> None:
    shape = ModelCard.from_json(subject.card_text).input.shape
    if pictures.shape[1:] != shape:
        raise ModelFileError(
            f"'{model}' takes pictures (height, width, channels) {shape}, these are "
            f"{pictures.shape[1:]}: name the data it was trained for"
        )


def _own_stdout() -> TextIO:
    """Standard output for replies alone: what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _say(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _introduction(subject: Subject) -> dict[str, Any]:
    return {"card": subject.card_text, "runtime": subject.runtime, "peak_bytes": _peak_bytes()}


def _obey(request: dict[str, Any], subject: Subject, pictures: NDArray[np.uint8]) -> dict[str, Any]:
    if request["do"] == "calls":
        calls, warmup = request["calls"], request["warmup"]
        return {"calls_us": time_calls(subject.answer, pictures, calls=calls, warmup=warmup)}
    pass_s, rows = time_pass(subject.predict, pictures, chunk=request["chunk"])
    return {
        "pass_s": pass_s,
        "answers": rows.argmax(axis=1).tolist(),
        "scores": rows.max(axis=1).astype(float).round(4).tolist(),
    }


def _peak_bytes() -> int:
    """The most memory this process ever held.

    Linux's VmHWM begins anew with each program; ru_maxrss, all that other systems have, is handed
    down from the process that started this one.
    """
    try:
        status = _STATUS.read_text("ascii", errors="replace")
        return next(
            int(line.split()[1]) * 1024 for line in status.splitlines() if line[:6] == "VmHWM:"
        )
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    sys.exit(main())
