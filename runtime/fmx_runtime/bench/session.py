"""Measure models in turns, each time in a fresh process, and write down what is done."""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fmx_runtime.backends.base import detect_format
from fmx_runtime.bench import machine
from fmx_runtime.bench.process import Measured, last_core, measure
from fmx_runtime.bench.result import Failure, Result, Round, Run, Settings, Throughput, Variant
from fmx_runtime.errors import DataError, FmxError, ModelFileError, OutputError
from fmx_runtime.model_file.checksum import sha256
from fmx_runtime.model_file.container import read_checked_metadata, read_model
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fmx_runtime.bench.journal import Journal
    from fmx_runtime.labeled_images import LabeledImages
    from fmx_runtime.model_file.metadata import ModelMetadata, Precision

__all__ = [
    "Model",
    "choose",
    "conditions",
    "model_file",
    "result",
    "run",
    "settings",
]

_WORKER = "fmx_runtime.bench.worker"
_WARMUP = 50
_REPETITIONS = 3
_BATCHES = (1, 64)
_MOST_THREADS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A model that is to be measured.

    Attributes:
        path: what the worker opens.
        name: what reports call it.
        format: what runs it.
        precision: of weights and activations.
        metadata: says what its images are like, and what its answers mean.
        size_bytes: of the file.
        sha256: of the file, in hex.
        worker: the module that the measuring process runs.
        arguments: what it takes besides, see `fmx_runtime.bench.process.measure`.
        rounds: it takes part in so many at most, and in one repetition of the throughput: for one
            that takes seconds to start.
    """

    path: Path
    name: str
    format: Literal["keras", "tflite", "onnx"]
    precision: Precision
    metadata: ModelMetadata
    size_bytes: int
    sha256: str
    worker: str = _WORKER
    arguments: tuple[str, ...] = ()
    rounds: int | None = None


def model_file(path: Path) -> Model:
    """A model file.

    Raises:
        ModelFileError: it is missing, none, damaged, or does not describe itself.
    """
    content = read_model(path)
    try:
        metadata = read_checked_metadata(content)
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error
    return Model(
        path=path,
        name=path.name,
        format="onnx" if detect_format(content) == "onnx" else "tflite",
        precision=metadata.precision,
        metadata=metadata,
        size_bytes=len(content),
        sha256=sha256(content),
    )


def choose(
    paths: Iterable[Path], labeled: LabeledImages
) -> tuple[list[Model], list[Failure], tuple[str, ...]]:
    """Open each file once, so that what cannot be measured is known before anything is.

    Args:
        paths: of model files.
        labeled: the images; if they do not name their classes, they are the first model's.

    Returns:
        The models that fit, why the others do not, and the names of the classes.

    Raises:
        ModelFileError: not one of them fits.
    """
    opened, failures = [], []
    for path in dict.fromkeys(paths):
        try:
            opened.append(model_file(path))
        except FmxError as error:
            failures.append(Failure(name=path.name, reason=str(error)))
    names = labeled.class_names or (opened[0].metadata.labels if opened else ())
    models = []
    for model in opened:
        misfit = _misfit(model, labeled, names)
        if misfit:
            failures.append(Failure(name=model.name, reason=misfit))
        else:
            models.append(model)
    if not models:
        raise ModelFileError(failures[0].reason)
    return models, failures, names


def _misfit(model: Model, labeled: LabeledImages, names: tuple[str, ...]) -> str | None:
    """Why a model's labels are not those of the images, None where they are."""
    if model.metadata.labels != names:
        return f"its labels ({_few(model.metadata.labels)}) are not the data's ({_few(names)})"
    low, high = labeled.labels.min(), labeled.labels.max()
    if low < 0 or high >= len(names):
        return f"it has {len(names)} classes, the data's labels go from {low} to {high}"
    return None


def settings(*, rounds: int, calls: int) -> Settings:
    """How to measure on this machine.

    Raises:
        DataError: a number is below one.
    """
    for name, count in (("rounds", rounds), ("calls", calls)):
        if count < 1:
            raise DataError(f"{name} must be at least 1. Received: {name}={count}")
    threads = [1]
    while threads[-1] * 2 <= min(machine.usable_cores(), _MOST_THREADS):
        threads.append(threads[-1] * 2)
    return Settings(
        rounds=rounds,
        calls=calls,
        warmup=_WARMUP,
        core=last_core(),
        batches=_BATCHES,
        threads=tuple(threads),
    )


def run(
    models: Sequence[Model],
    labeled: LabeledImages,
    settings: Settings,
    journal: Journal,
    *,
    failures: Sequence[Failure] = (),
    progress: Callable[[str], None],
) -> Run:
    """Measure models on this machine.

    Every time is taken in a fresh process with one model in it; the models take turns, there and
    back, so that what drifts hits all of them alike.

    Args:
        models: in the order of the reports.
        labeled: the images.
        settings: how.
        journal: what was measured before an interruption, and what is measured now.
        failures: of models that could not even be opened.
        progress: called with a line for each step.

    Returns:
        All that was measured; a model that fails is left out of everything, and said to.

    Raises:
        OutputError: the journal cannot be written.
        ModelFileError: not one model could be measured.
    """
    began = time.monotonic()
    progress("describing the machine")
    here = journal.once("machine", lambda: asdict(machine.describe(settings.core)))
    with tempfile.TemporaryDirectory(prefix="fmx-bench-") as name:
        session = _Session(Path(name), labeled, settings, journal, {})
        np.save(session.labels, labeled.labels)
        machine_states = [journal.once("moment 0", lambda: asdict(machine.moment(began)))]
        progress(f"answering {len(labeled.labels):,} images")
        answers = {model: session.answers(model) for model in models}
        rounds: dict[Model, list[Round]] = {model: [] for model in models}
        for number in range(settings.rounds):
            progress(f"round {number + 1} of {settings.rounds}: single images")
            for model in models[:: 1 if number % 2 == 0 else -1]:
                if number < (model.rounds or settings.rounds):
                    rounds[model] += session.round(model, number)
            state = journal.once(f"moment {number + 1}", lambda: asdict(machine.moment(began)))
            machine_states.append(state)
        rates = _throughputs(models, session, progress)
    failures = (*failures, *session.failed.values())
    if len(session.failed) == len(models):
        raise ModelFileError(failures[0].reason)
    return Run(
        place="here",
        machine=json_codec.decode(machine.Machine, here),
        settings=settings,
        machine_states=tuple(
            json_codec.decode(machine.MachineState, moment) for moment in machine_states
        ),
        variants=tuple(
            _variant(model, answers[model], rounds[model], rates[model])
            for model in models
            if model not in session.failed
        ),
        failures=failures,
    )


def result(labeled: LabeledImages, done: Run, class_names: tuple[str, ...]) -> Result:
    """A run as the document that is written."""
    return Result(
        data=labeled.name,
        created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        class_names=class_names,
        labels=tuple(labeled.labels.tolist()),
        images_sha256=labeled.sha256,
        runs=(done,),
    )


def conditions(
    models: Sequence[Model], labeled: LabeledImages, settings: Settings
) -> dict[str, Any]:
    """What has to be alike for a benchmark to go on after an interruption."""
    return {
        "settings": asdict(settings),
        "models": [[model.name, model.sha256] for model in models],
        "images": labeled.sha256,
    }


def _few(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:4])
    return f"{shown}, … {len(labels)} in all" if len(labels) > 4 else shown  # noqa: PLR2004


@dataclass(frozen=True)
class _Session:
    """Measuring processes, their images, and which models failed."""

    folder: Path
    labeled: LabeledImages
    settings: Settings
    journal: Journal
    failed: dict[Model, Failure]

    @property
    def labels(self) -> Path:
        """The file of the true labels."""
        return self.folder / "labels.npy"

    def answers(self, model: Model) -> dict[str, Any]:
        """Labels and probabilities of all images, and the interpreter's name."""

        def work() -> dict[str, Any]:
            done = self._measure(model, labels=str(self.labels))
            return {"runtime": done.runtime, **done.values}

        return self._attempt(model, "answers", work) or {}

    def round(self, model: Model, number: int) -> list[Round]:
        """One round, none from a model that fails."""

        def work() -> dict[str, Any]:
            timing = {"calls": self.settings.calls, "warmup": self.settings.warmup}
            done = self._measure(model, **timing)
            start = {"start_s": round(done.start_s, 4), "peak_bytes": done.peak_bytes}
            return {**start, **done.values}

        values = self._attempt(model, f"round {number}", work)
        return [json_codec.decode(Round, values)] if values else []

    def rates(self, model: Model, threads: int, repetition: int) -> list[float]:
        """Images per second, by batch; none from a model that fails."""

        def work() -> dict[str, Any]:
            return self._measure(model, threads, batches=self.settings.batches).values

        step = f"throughput {repetition}, {threads} threads"
        values: list[float] = (self._attempt(model, step, work) or {"rates": []})["rates"]
        return values

    def _measure(self, model: Model, threads: int = 1, **task: Any) -> Measured:
        return measure(
            model.path,
            self._images(model),
            worker=[model.worker, *model.arguments],
            threads=threads,
            core=self.settings.core if threads == 1 else None,
            **task,
        )

    def _attempt(
        self, model: Model, step: str, work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any] | None:
        if model in self.failed:
            return None
        try:
            values: dict[str, Any] = self.journal.once(f"{step}: {model.path}", work)
        except OutputError:
            raise
        except FmxError as error:
            self.failed[model] = Failure(name=model.name, reason=str(error))
            return None
        return values

    def _images(self, model: Model) -> Path:
        """The file of the images as the model takes them."""
        spec = model.metadata.input
        names = (spec.height, spec.width, spec.channels, spec.resize, spec.polarity, spec.subject)
        path = self.folder / f"{'-'.join(map(str, names))}.npy"
        if not path.exists():
            np.save(path, self.labeled.pixels(spec))
        return path


def _throughputs(
    models: Sequence[Model], session: _Session, progress: Callable[[str], None]
) -> dict[Model, tuple[Throughput, ...]]:
    every = session.settings.threads
    rates: dict[tuple[Model, int], list[list[float]]] = {}
    for number in range(_REPETITIONS):
        for threads in every:
            progress(f"throughput {number + 1} of {_REPETITIONS}: {threads} threads")
            for model in models:
                if number == 0 or model.rounds is None:
                    found = session.rates(model, threads, number)
                    rates.setdefault((model, threads), []).append(found)
    return {
        model: tuple(
            Throughput(batch=batch, threads=threads, rates=tuple(values))
            for threads in every
            # by repetition -> by batch
            for batch, *values in zip(
                session.settings.batches, *rates[model, threads], strict=model not in session.failed
            )
        )
        for model in models
    }


def _variant(
    model: Model,
    answers: dict[str, Any],
    rounds: Sequence[Round],
    throughputs: tuple[Throughput, ...],
) -> Variant:
    return Variant(
        name=model.name,
        format=model.format,
        precision=model.precision,
        runtime=answers["runtime"],
        size_bytes=model.size_bytes,
        sha256=model.sha256,
        macs=None,
        rounds=tuple(rounds),
        throughputs=throughputs,
        answers=tuple(answers["answers"]),
        scores=tuple(answers["scores"]),
        true_scores=tuple(answers["true_scores"]),
    )
