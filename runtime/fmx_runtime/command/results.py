"""What is answered to images, to frames of a camera, and to models that are tested."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Any

from fmx_runtime.command.writers import Recorded, encoded
from fmx_runtime.errors import FmxError, ImageError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fmx_runtime.classifier import Classifier, Prediction
    from fmx_runtime.command.self_test import SelfTest
    from fmx_runtime.command.writers import Answer
    from fmx_runtime.images.preprocess import ImageLike
    from fmx_runtime.sources.inputs import InputImage

__all__ = ["TEST_COLUMNS", "Classified", "Failed", "Tested", "columns", "to_images"]

TEST_COLUMNS = (
    "path", "verdict", "difference", "tolerance", "images", "labels_agree", "backend", "error",
)  # fmt: skip
"""Of a table of what models answer to their test vectors."""


def columns(top_k: int, *, frames: bool) -> tuple[str, ...]:
    """Of a table of what is answered to images, or to frames."""
    further = (f"{key}_{rank}" for rank in range(2, top_k + 1) for key in ("label", "score"))
    return ("path", "label", "score", "error", *(["frame"] if frames else []), *further)


def to_images(
    classifier: Classifier, questions: Iterable[InputImage], *, top_k: int, workers: int
) -> Iterator[Answer]:
    """Answer images as they come, in their order, see `fmx_runtime.command.parallel.classify_stream`."""
    from fmx_runtime.command.parallel import classify_stream

    waiting: deque[InputImage] = deque()

    def images() -> Iterator[ImageLike]:
        for question in questions:
            waiting.append(question)
            if not isinstance(question.image, ImageError):
                yield question.image

    for _, outcome in classify_stream(classifier, images(), top_k=top_k, workers=workers):
        # those before it that had no image
        while isinstance(error := waiting[0].image, ImageError):
            yield Failed(waiting.popleft().path, error)
        question = waiting.popleft()
        if isinstance(outcome, ImageError):
            yield Failed(question.path, outcome, question.frame)
        else:
            yield Classified(question, outcome)
    for question in waiting:
        if isinstance(question.image, ImageError):
            yield Failed(question.path, question.image)


class Failed(Recorded):
    """What there is to say in the place of an answer."""

    def __init__(self, path: str, error: FmxError, frame: int | None = None) -> None:
        """``error`` says what went wrong with ``path``, or with a frame of it."""
        self._path, self._frame = path, frame
        self.error = str(error)
        self.exit_code = error.exit_code

    def record(self) -> dict[str, Any]:
        """Path and error."""
        return {**_name(self._path, self._frame), "error": self.error}

    def lines(self) -> Sequence[str]:
        """None."""
        return ()


class Classified:
    """The labels and scores of an image."""

    __slots__ = ("_question", "_top")  # there is one an image, of many

    error = None
    exit_code = 0

    def __init__(self, question: InputImage, top: tuple[Prediction, ...]) -> None:
        """``top`` is the best first."""
        self._question, self._top = question, top

    def record(self) -> dict[str, Any]:
        """Path, label and score, and all that were asked for as ``top``."""
        top = [{"label": item.label, "score": round(item.score, 6)} for item in self._top]
        return {**_name(self._question.path, self._question.frame), **top[0], "top": top}

    def json(self) -> str:
        """The record as JSON, composed here: a general encoder takes four times as long."""
        path, _, frame = self._question
        number = "" if frame is None else f', "frame": {frame}'
        top = [
            f'"label": {encoded(item.label)}, "score": {round(item.score, 6)!r}'
            for item in self._top
        ]
        return f'{{"path": {encoded(path)}{number}, {top[0]}, "top": [{{{"}, {".join(top)}}}]}}'

    def lines(self) -> Sequence[str]:
        """One."""
        path, _, frame = self._question
        number = "" if frame is None else f" frame {frame}"
        scores = "  ".join([f"{item.label} {item.score:.1%}" for item in self._top])
        return (f"{path}{number}: {scores}",)


class Tested(Recorded):
    """The verdict on a model."""

    error = None

    def __init__(self, path: str, result: SelfTest) -> None:
        """``result`` is of the model file ``path``."""
        self._path, self._result = path, result
        self.exit_code = ModelFileError.exit_code if result.verdict == "wrong" else 0

    def record(self) -> dict[str, Any]:
        """Path and result."""
        return {"path": self._path, **dataclasses.asdict(self._result)}

    def lines(self) -> Sequence[str]:
        """One."""
        result = self._result
        facts = [f"{result.images} test_vectors image{'s' * (result.images != 1)}", result.backend]
        if result.verdict != "exact":
            other = "" if result.labels_agree else ", other labels on top"
            facts.append(
                f"largest difference {result.difference:.2g} of {result.tolerance:.2g}{other}"
            )
        return (f"{self._path}: {result.verdict} ({', '.join(facts)})",)


def _name(path: str, frame: int | None) -> dict[str, Any]:
    """As a record begins."""
    return {"path": path} if frame is None else {"path": path, "frame": frame}
