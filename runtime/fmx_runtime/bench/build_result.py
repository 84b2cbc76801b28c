"""Assemble the benchmark result from what the steps measured."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from fmx_runtime.bench.result import Result, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmx_runtime.bench.models import Model
    from fmx_runtime.bench.result import Repeat, Run, Throughput
    from fmx_runtime.labeled_images import LabeledImages

__all__ = ["build_result", "build_variant"]


def build_result(labeled: LabeledImages, run: Run) -> Result:
    """Return the result of a run that just ended.

    Args:
        labeled: the images of the run, with class names.
        run: the measurements.
    """
    return Result(
        data=labeled.name,
        created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        class_names=labeled.class_names,
        labels=tuple(labeled.labels.tolist()),
        images_sha256=labeled.sha256,
        runs=(run,),
    )


def build_variant(
    model: Model,
    predictions: Mapping[str, Any],
    repeats: Sequence[Repeat],
    throughputs: tuple[Throughput, ...],
) -> Variant:
    """Return all that was measured of one model.

    Args:
        model: the model.
        predictions: from `Steps.predict`.
        repeats: from `Steps.time`, in the order of measurement.
        throughputs: from `measure_throughputs`.
    """
    return Variant(
        name=model.name,
        format=model.format,
        precision=model.precision,
        runtime=predictions["runtime"],
        size_bytes=model.size_bytes,
        sha256=model.sha256,
        macs=None,
        repeats=tuple(repeats),
        throughputs=throughputs,
        predictions=tuple(predictions["predictions"]),
        scores=tuple(predictions["scores"]),
        true_label_scores=tuple(predictions["true_label_scores"]),
    )
