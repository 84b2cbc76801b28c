"""Measure the throughput of several models by batch size and number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.bench.result import Throughput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmx_runtime.bench.models import Model
    from fmx_runtime.bench.session_steps import Steps

__all__ = ["measure_throughputs"]

_REPETITIONS = 3


def measure_throughputs(
    models: Sequence[Model], steps: Steps, progress: Callable[[str], None]
) -> dict[Model, tuple[Throughput, ...]]:
    """Measure every model at every batch size and number of threads.

    A model with `Model.repeats` is measured once, the others three times.

    Args:
        models: they take turns.
        steps: measures one model once.
        progress: called with a line for each step.

    Returns:
        For each model that did not fail one `Throughput` for each pair of batch size and threads.
    """
    settings = steps.settings
    # (model, threads) -> for each repetition one value for each batch size
    measured: dict[tuple[Model, int], list[list[float]]] = {}
    for repetition in range(_REPETITIONS):
        for threads in settings.threads:
            progress(f"throughput {repetition + 1} of {_REPETITIONS}: {threads} threads")
            for model in models:
                if repetition > 0 and model.repeats is not None:
                    continue
                values = steps.throughput(model, threads, repetition)
                if values is not None:
                    measured.setdefault((model, threads), []).append(values)
    return {
        model: tuple(
            Throughput(batch=batch, threads=threads, images_per_second=by_repetition)
            for threads in settings.threads
            for batch, by_repetition in zip(
                settings.batches, zip(*measured[model, threads], strict=True), strict=True
            )
        )
        for model in models
        if model not in steps.failed
    }
