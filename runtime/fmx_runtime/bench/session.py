"""A benchmark session: measure models in turns, each time in a fresh process.

A session owns its journal: `open_session` opens it and, when its block ends, closes it. Whatever
belongs to the benchmark is done inside that one ``with`` block, so that an interruption at any
point can be resumed::

    with open_session(path, selection, settings, resume=False) as session:
        run = session.measure(print)
        write_reports(run)
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_runtime.bench import machine
from fmx_runtime.bench.build_result import build_variant
from fmx_runtime.bench.journal import Journal
from fmx_runtime.bench.result import LOCAL, Run, Settings
from fmx_runtime.bench.session_steps import Steps
from fmx_runtime.bench.throughput import measure_throughputs
from fmx_runtime.errors import DataError, ModelFileError
from fmx_runtime.support import json_codec
from fmx_runtime.support.cores import last_core, usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fmx_runtime.bench.models import Model, Selection
    from fmx_runtime.bench.result import Repeat

__all__ = ["Session", "make_settings", "open_session"]

_WARMUP = 50
_BATCHES = (1, 64)
_MAX_THREADS = 8


def make_settings(*, repeats: int, iterations: int) -> Settings:
    """Return the settings for a benchmark on this machine.

    Args:
        repeats: how often each model is measured.
        iterations: the most timed predictions of each model in each repeat.

    Raises:
        DataError: A number is below one.
    """
    for name, count in (("repeats", repeats), ("iterations", iterations)):
        if count < 1:
            raise DataError(f"{name} must be at least 1. Received: {name}={count}")
    threads = [1]
    while threads[-1] * 2 <= min(usable_cores(), _MAX_THREADS):
        threads.append(threads[-1] * 2)
    return Settings(
        repeats=repeats,
        iterations=iterations,
        warmup=_WARMUP,
        core=last_core(),
        batches=_BATCHES,
        threads=tuple(threads),
    )


@contextlib.contextmanager
def open_session(
    path: Path, selection: Selection, settings: Settings, *, resume: bool
) -> Iterator[Session]:
    """Open a session for a ``with`` block.

    If the block ends without an exception, the benchmark is finished and the journal is removed;
    otherwise the journal stays, for ``resume``.

    Args:
        path: the journal's file.
        selection: the models and images.
        settings: how to measure.
        resume: whether to continue the benchmark in the journal.

    Yields:
        The session.

    Raises:
        DataError: There is nothing to resume, or the journal is of another benchmark.
        OutputError: The journal cannot be written.
    """
    conditions = {
        "settings": asdict(settings),
        "models": [[model.name, model.sha256] for model in selection.models],
        "images": selection.labeled.sha256,
    }
    with (
        Journal(path, conditions, resume=resume) as journal,
        tempfile.TemporaryDirectory(prefix="fmx-bench-") as folder,
    ):
        yield Session(selection, Steps(Path(folder), selection.labeled, settings, journal))


@dataclass(frozen=True)
class Session:
    """An open session.

    Attributes:
        selection: the models and images.
        steps: measures one model once.
    """

    selection: Selection
    steps: Steps

    def once(self, step: str, work: Callable[[], Any]) -> Any:
        """Do further work of this benchmark once, see `Journal.once`."""
        return self.steps.journal.once(step, work)

    def measure(self, progress: Callable[[str], None]) -> Run:
        """Measure all models on this machine.

        Each measurement is taken in a fresh process that holds one model. The models take turns,
        in alternating order, so that drift of the machine affects all of them alike.

        Args:
            progress: called with a line for each step.

        Returns:
            The measurements. A model that fails is left out and listed in ``failures``.

        Raises:
            ImageError: An image cannot be read.
            ModelFileError: All models failed.
            OutputError: The journal cannot be written.
        """
        models, steps, settings = self.selection.models, self.steps, self.steps.settings
        start = time.monotonic()
        progress("describing the machine")
        here = self.once("machine", lambda: asdict(machine.describe(settings.core)))
        states = [self._machine_state(0, start)]
        progress(f"predicting {len(steps.labeled.labels):,} images")
        predictions = {model: steps.predict(model) for model in models}
        repeats: dict[Model, list[Repeat]] = {model: [] for model in models}
        for number in range(settings.repeats):
            progress(f"repeat {number + 1} of {settings.repeats}: single images")
            for model in _in_turn(models, number):
                if number >= (model.repeats or settings.repeats):
                    continue
                repeat = steps.time(model, number)
                if repeat is not None:
                    repeats[model].append(repeat)
            states.append(self._machine_state(number + 1, start))
        throughputs = measure_throughputs(models, steps, progress)
        failures = (*self.selection.failures, *steps.failed.values())
        if len(steps.failed) == len(models):
            raise ModelFileError(failures[0].reason)
        return Run(
            device=LOCAL,
            machine=json_codec.decode(machine.Machine, here),
            settings=settings,
            machine_states=tuple(states),
            variants=tuple(
                build_variant(model, found, repeats[model], throughputs[model])
                for model, found in predictions.items()
                if found is not None and model not in steps.failed
            ),
            failures=failures,
        )

    def _machine_state(self, number: int, start: float) -> machine.MachineState:
        state = self.once(f"machine state {number}", lambda: asdict(machine.read_state(start)))
        return json_codec.decode(machine.MachineState, state)


def _in_turn(models: tuple[Model, ...], repeat: int) -> tuple[Model, ...]:
    """Return the models in the order of a repeat, which is reversed in every other repeat."""
    return models if repeat % 2 == 0 else models[::-1]
