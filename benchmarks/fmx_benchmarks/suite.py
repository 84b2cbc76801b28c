"""The run: every model in a process of its own, measured in turns."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fmx_benchmarks import machine
from fmx_benchmarks.process import Worker, last_core
from fmx_benchmarks.result import Result, Round, Settings, Variant
from fmx_runtime.card import ModelCard
from fmx_runtime.errors import DataError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["run"]

_CHUNK = 1000
"""Pictures handed over at a time in a pass over all of them."""

_WARMUP = 50
_KERAS_STARTS = 3
"""At most: each costs the seconds that TensorFlow takes to load."""

_IMAGE_AXES = 4


@dataclass
class _Entry:
    """One model while it is being measured."""

    path: Path
    worker: Worker
    keras_card: str | None
    rounds: list[Round] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    peaks_bytes: list[int] = field(default_factory=list)
    last_pass: dict[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> ModelCard:
        return ModelCard.from_json(self.worker.introduction["card"])


def run(
    files: Sequence[Path],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    data: str,
    keras_model: Path | None,
    rounds: int = 10,
    calls: int = 500,
    starts: int = 7,
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Measure models on labelled pictures.

    Args:
        files: model files with cards, at least one; all with the same labels.
        images: uint8 ``(n, height, width, channels)``, n at least 1, of the models' input size.
        labels: int64 ``(n,)``, values 0 to the number of classes less one.
        data: what the pictures are, for the report.
        keras_model: the model that the files were exported from; None leaves its row out.
        rounds: how often every model is measured, in turns.
        calls: timed single-picture calls of each model in each round.
        starts: fresh processes of each file whose start-up is timed.
        progress: called with a line about each step.

    Returns:
        The measurements; the Keras model first, then the files as given.

    Raises:
        ModelFileError: a file cannot be opened, or does not fit the pictures or the other files.
        BackendError: an interpreter is missing, or a measuring process died.
        DataError: the pictures, the labels or an option cannot be used.
    """
    tell = progress or (lambda _line: None)
    _check_options(files, images, labels, rounds=rounds, calls=calls, starts=starts)
    settings = Settings(rounds=rounds, calls=calls, warmup=_WARMUP, core=last_core())
    described = machine.describe()  # before the workers make it busy
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fmx-bench-"))
        pictures = Path(folder, "pictures.npy")
        np.save(pictures, images)
        opener = _Opener(pictures, settings.core, stack)
        entries = opener.open_all(files, keras_model, tell)
        _check_cards(entries, labels)
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}: latency and throughput")
            # there and back, so that no model always follows the same other one
            for entry in entries if number % 2 == 0 else reversed(entries):
                _measure_round(entry, settings)
        for entry in entries:
            entry.worker.close()
        for number in range(starts):
            tell(f"start {number + 1} of {starts}: fresh processes")
            for entry in entries:
                if entry.keras_card is None or number < _KERAS_STARTS:
                    _measure_start(entry, pictures, settings.core)
    return Result(
        data=data,
        created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        class_names=entries[0].card.labels,
        labels=tuple(labels.tolist()),
        machine=described,
        settings=settings,
        variants=tuple(_variant(entry) for entry in entries),
    )


@dataclass(frozen=True)
class _Opener:
    """Starts the workers, which end when ``stack`` is left."""

    pictures: Path
    core: int | None
    stack: contextlib.ExitStack

    def open_all(
        self, files: Sequence[Path], keras_model: Path | None, tell: Callable[[str], None]
    ) -> list[_Entry]:
        """Files first, as only their cards say what the Keras model's input is."""
        entries = []
        for path in files:
            tell(f"opening {path.name}")
            entries.append(self._open(path, None))
        if keras_model is not None:
            tell(f"opening {keras_model.name} with TensorFlow")
            card = entries[0].card
            keras_input = dataclasses.replace(card.input, dtype="float32")
            # golden vectors and the like are of no use there
            slim = dataclasses.replace(card, input=keras_input, golden=None, precision="float32")
            entries.insert(0, self._open(keras_model, slim.to_json()))
        return entries

    def _open(self, path: Path, keras_card: str | None) -> _Entry:
        worker = Worker(path, self.pictures, keras_card=keras_card, core=self.core)
        return _Entry(path, self.stack.enter_context(worker), keras_card)


def _measure_round(entry: _Entry, settings: Settings) -> None:
    calls = entry.worker.ask(do="calls", calls=settings.calls, warmup=settings.warmup)
    entry.last_pass = entry.worker.ask(do="pass", chunk=_CHUNK)
    entry.rounds.append(
        Round(
            calls_us=tuple(round(value, 1) for value in calls["calls_us"]),
            pass_s=round(entry.last_pass["pass_s"], 6),
        )
    )


def _measure_start(entry: _Entry, pictures: Path, core: int | None) -> None:
    with Worker(entry.path, pictures, keras_card=entry.keras_card, core=core) as worker:
        entry.starts_s.append(round(worker.start_s, 4))
        entry.peaks_bytes.append(worker.introduction["peak_bytes"])


def _variant(entry: _Entry) -> Variant:
    card, content = entry.card, entry.path.read_bytes()
    kind: Literal["keras", "tflite", "onnx"]
    if entry.keras_card is not None:
        kind = "keras"
    else:
        kind = "onnx" if "onnx" in entry.worker.introduction["runtime"] else "tflite"
    return Variant(
        name=entry.path.name,
        format=kind,
        precision=card.precision,
        runtime=entry.worker.introduction["runtime"],
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        starts_s=tuple(entry.starts_s),
        peaks_bytes=tuple(entry.peaks_bytes),
        rounds=tuple(entry.rounds),
        answers=tuple(entry.last_pass["answers"]),
        scores=tuple(entry.last_pass["scores"]),
    )


def _check_options(
    files: Sequence[Path], images: NDArray[np.uint8], labels: NDArray[np.int64], **counts: int
) -> None:
    if not files:
        raise DataError("there is no model file to benchmark; export some with 'fmx export'")
    if images.dtype != np.uint8 or images.ndim != _IMAGE_AXES or len(images) == 0:
        raise DataError(
            "benchmark pictures must be uint8 (n, height, width, channels), n at least 1. "
            f"Received: {images.dtype} {images.shape}"
        )
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        raise DataError(
            f"benchmark labels must be int64 ({len(images)},), one for each picture. "
            f"Received: {labels.dtype} {labels.shape}"
        )
    for name, count in counts.items():
        if count < 1:
            raise DataError(f"{name} must be at least 1. Received: {name}={count}")


def _check_cards(entries: Sequence[_Entry], labels: NDArray[np.int64]) -> None:
    first = entries[0]
    for entry in entries:
        if entry.card.labels != first.card.labels:
            raise ModelFileError(
                f"'{entry.path}' and '{first.path}' have different labels; "
                "benchmark them one by one"
            )
    classes = len(first.card.labels)
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"benchmark labels go from {labels.min()} to {labels.max()}, '{first.path}' has "
            f"{classes} classes: name the data it was trained for"
        )
