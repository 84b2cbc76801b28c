"""The steps of a session: each measures one model once, in a fresh process, and is journaled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.bench.process import measure
from fmx_runtime.bench.result import Failure, Repeat
from fmx_runtime.errors import FmxError
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_runtime.bench.journal import Journal
    from fmx_runtime.bench.models import Model
    from fmx_runtime.bench.process import Measurement
    from fmx_runtime.bench.result import Settings
    from fmx_runtime.labeled_images import LabeledImages

__all__ = ["Steps"]


class _ModelError(Exception):
    """A model cannot be measured. Errors of images and of the journal are not of this type."""


@dataclass(frozen=True)
class Steps:
    """Measures one model at a time, and remembers which models failed.

    A failed model is skipped in all later steps. An image that cannot be read, or a journal that
    cannot be written, is not the model's failure: it ends the session.

    Attributes:
        folder: where the images are kept for the worker processes.
        labeled: the images.
        settings: how to measure.
        journal: the results of earlier steps.
        failed: the models that failed, with their reasons.
    """

    folder: Path
    labeled: LabeledImages
    settings: Settings
    journal: Journal
    failed: dict[Model, Failure] = field(default_factory=dict)

    def predict(self, model: Model) -> dict[str, Any] | None:
        """Predict all images.

        Returns:
            The interpreter (``runtime``), and the worker's ``predictions``, ``scores`` and
            ``true_label_scores``; None if the model failed.
        """
        labels = self.folder / "labels.npy"
        if not labels.exists():
            np.save(labels, self.labeled.labels)
        return self._run(
            model,
            "predictions",
            lambda measured: {"runtime": measured.runtime, **measured.values},
            labels=str(labels),
        )

    def time(self, model: Model, number: int) -> Repeat | None:
        """Measure one repeat: latencies, time to first prediction and memory.

        Returns:
            The repeat; None if the model failed.
        """
        values = self._run(
            model,
            f"repeat {number}",
            lambda measured: {
                "first_prediction_s": round(measured.first_prediction_s, 4),
                "peak_bytes": measured.peak_bytes,
                **measured.values,
            },
            iterations=self.settings.iterations,
            warmup=self.settings.warmup,
        )
        return None if values is None else json_codec.decode(Repeat, values)

    def throughput(self, model: Model, threads: int, repetition: int) -> list[float] | None:
        """Measure the throughput once.

        Returns:
            Images per second for each of the settings' batch sizes; None if the model failed.
        """
        values = self._run(
            model,
            f"throughput {repetition}, {threads} threads",
            lambda measured: measured.values,
            threads=threads,
            batches=self.settings.batches,
        )
        return None if values is None else values["images_per_second"]

    def _run(
        self,
        model: Model,
        step: str,
        to_value: Callable[[Measurement], dict[str, Any]],
        *,
        threads: int = 1,
        **task: Any,
    ) -> dict[str, Any] | None:
        """Return the step's value, from the journal or a new worker process.

        Raises:
            ImageError: An image cannot be read.
            OutputError: The journal cannot be written.
        """
        if model in self.failed:
            return None

        def work() -> dict[str, Any]:
            images = self._write_images(model)
            try:
                measured = measure(
                    model.path,
                    images,
                    worker=[model.worker, *model.arguments],
                    threads=threads,
                    core=self.settings.core if threads == 1 else None,
                    **task,
                )
            except FmxError as error:
                raise _ModelError(str(error)) from error
            return to_value(measured)

        try:
            value: dict[str, Any] = self.journal.once(f"{step}: {model.path}", work)
        except _ModelError as error:
            self.failed[model] = Failure(name=model.name, reason=str(error))
            return None
        return value

    def _write_images(self, model: Model) -> Path:
        """Write the images as the model takes them; models with equal input share the file."""
        spec = model.metadata.input
        key = (spec.height, spec.width, spec.channels, spec.resize, spec.polarity, spec.subject)
        path = self.folder / f"{'-'.join(map(str, key))}.npy"
        if not path.exists():
            np.save(path, self.labeled.pixels(spec))
        return path
