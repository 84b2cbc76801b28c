"""The results of classified images, tested models, and failures."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any, Protocol

from fmx_runtime.errors import FmxError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_runtime.classifier import Prediction
    from fmx_runtime.command.self_test import SelfTest
    from fmx_runtime.sources.inputs import InputImage

__all__ = [
    "SELF_TEST_COLUMNS",
    "ClassificationResult",
    "FailedResult",
    "RecordResult",
    "Result",
    "SelfTestResult",
    "classification_columns",
    "encode_json",
]

SELF_TEST_COLUMNS = (
    "path", "verdict", "difference", "tolerance", "images", "labels_agree", "backend", "error",
)  # fmt: skip
"""The CSV columns of self-test results."""

_SCORE_DIGITS = 6

encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
"""Return a value as JSON; NaN and infinity, which JSON does not have, are a ValueError."""


def classification_columns(top_k: int, *, frames: bool) -> tuple[str, ...]:
    """Return the CSV columns of the results of images, or of frames."""
    lower_ranks = (f"{key}_{rank}" for rank in range(2, top_k + 1) for key in ("label", "score"))
    return ("path", "label", "score", "error", *(["frame"] if frames else []), *lower_ranks)


class Result(Protocol):
    """The result of one image, frame or model; formatted only when a writer asks for it."""

    @property
    def error(self) -> str | None:
        """The error in one line, or None."""

    @property
    def exit_code(self) -> int:
        """The exit code of the command if no other result is worse."""

    def record(self) -> dict[str, Any]:
        """Return the result as a JSON object; it has an ``error`` if there is one."""

    def json(self) -> str:
        """Return the record as JSON text."""

    def lines(self) -> Sequence[str]:
        """Return the result as lines of text, without the error."""


class RecordResult:
    """A result whose JSON text is its encoded record."""

    def record(self) -> dict[str, Any]:
        """See `Result`."""
        raise NotImplementedError

    def json(self) -> str:
        """See `Result`."""
        return encode_json(self.record())


class FailedResult(RecordResult):
    """An error in the place of a result."""

    def __init__(self, path: str, error: FmxError, frame: int | None = None) -> None:
        """Record what failed.

        Args:
            path: of the image, the camera or the model.
            error: why it failed.
            frame: of a camera.
        """
        self._path, self._frame = path, frame
        self.error = str(error)
        self.exit_code = error.exit_code

    def record(self) -> dict[str, Any]:
        """Return path and error."""
        return {**_identify(self._path, self._frame), "error": self.error}

    def lines(self) -> Sequence[str]:
        """Return nothing: errors go to stderr."""
        return ()


class ClassificationResult:
    """The labels and scores of one image."""

    __slots__ = ("_input", "_top")  # one is created for each of many images

    error = None
    exit_code = 0

    def __init__(self, item: InputImage, top: tuple[Prediction, ...]) -> None:
        """Record the predictions of an image, best first."""
        self._input, self._top = item, top

    def record(self) -> dict[str, Any]:
        """Return path, label, score, and the ``top`` labels and scores."""
        top = [
            {"label": item.label, "score": round(item.score, _SCORE_DIGITS)} for item in self._top
        ]
        return {**_identify(self._input.path, self._input.frame), **top[0], "top": top}

    def json(self) -> str:
        """Return the record as JSON text.

        It is composed here, because a general encoder takes three times as long. A test compares
        the two.
        """
        path, _, frame = self._input
        frame_item = "" if frame is None else f', "frame": {frame}'
        top = [
            f'"label": {encode_json(item.label)}, "score": {_encode_score(item.score)}'
            for item in self._top
        ]
        top_items = "}, {".join(top)
        return f'{{"path": {encode_json(path)}{frame_item}, {top[0]}, "top": [{{{top_items}}}]}}'

    def lines(self) -> Sequence[str]:
        """Return one line."""
        path, _, frame = self._input
        frame_text = "" if frame is None else f" frame {frame}"
        scores = "  ".join([f"{item.label} {item.score:.1%}" for item in self._top])
        return (f"{path}{frame_text}: {scores}",)


class SelfTestResult(RecordResult):
    """The self-test of one model."""

    error = None

    def __init__(self, path: str, outcome: SelfTest) -> None:
        """Record the outcome of the self-test of a model file."""
        self._path, self._outcome = path, outcome
        self.exit_code = ModelFileError.exit_code if outcome.verdict == "wrong" else 0

    def record(self) -> dict[str, Any]:
        """Return path and outcome."""
        return {"path": self._path, **dataclasses.asdict(self._outcome)}

    def lines(self) -> Sequence[str]:
        """Return one line."""
        outcome = self._outcome
        plural = "s" * (outcome.images != 1)
        details = [f"{outcome.images} test vector{plural}", outcome.backend]
        if outcome.verdict != "exact":
            details.append(f"largest difference {outcome.difference:.2g}")
            details.append(f"tolerance {outcome.tolerance:.2g}")
            if not outcome.labels_agree:
                details.append("other top labels")
        return (f"{self._path}: {outcome.verdict} ({', '.join(details)})",)


def _identify(path: str, frame: int | None) -> dict[str, Any]:
    """Return the beginning of a record."""
    return {"path": path} if frame is None else {"path": path, "frame": frame}


def _encode_score(score: float) -> str:
    if not math.isfinite(score):
        raise ValueError(f"a score must be finite to be written as JSON. Received: {score}")
    return repr(round(score, _SCORE_DIGITS))
