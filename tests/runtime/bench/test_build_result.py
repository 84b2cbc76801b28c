"""The result that is assembled from measurements."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_runtime.bench.build_result import build_result, build_variant
from fmx_runtime.bench.models import open_model
from fmx_runtime.bench.result import Result

if TYPE_CHECKING:
    from fmx_runtime.labeled_images import LabeledImages

REFERENCE = Path(__file__).parents[3] / "benchmarks" / "reference" / "result.json"


def test_a_variant(exported: Path) -> None:
    """The file's facts and the measurements are put together; MACs are not counted here."""
    model = open_model(exported / "baseline.int8.tflite")
    predictions = {
        "runtime": "ai-edge-litert 2",
        "predictions": [3, 1],
        "scores": [0.9, 0.8],
        "true_label_scores": [0.9, 0.1],
    }
    variant = build_variant(model, predictions, [], ())
    assert (variant.name, variant.sha256) == (model.name, model.sha256)
    assert (variant.runtime, variant.macs) == ("ai-edge-litert 2", None)
    assert variant.predictions == (3, 1)
    assert variant.true_label_scores == (0.9, 0.1)


def test_a_result(labeled: LabeledImages) -> None:
    """It has the images' name, labels, class names and checksum, and the time in UTC."""
    (run,) = Result.from_json(REFERENCE.read_text("utf-8")).runs
    result = build_result(labeled, dataclasses.replace(run, variants=()))
    assert result.data == labeled.name
    assert result.labels == tuple(labeled.labels.tolist())
    assert result.class_names == labeled.class_names
    assert result.images_sha256 == labeled.sha256
    assert dt.datetime.fromisoformat(result.created).utcoffset() == dt.timedelta(0)
