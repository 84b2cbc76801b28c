"""Throughputs of real files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fmx_runtime.bench.journal import Journal
from fmx_runtime.bench.models import open_model
from fmx_runtime.bench.session import make_settings
from fmx_runtime.bench.session_steps import Steps
from fmx_runtime.bench.throughput import measure_throughputs

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.labeled_images import LabeledImages


def test_repetitions(exported: Path, labeled: LabeledImages, tmp_path: Path) -> None:
    """Three repetitions at each batch size, one of a slow model, none of one that fails."""
    model = open_model(exported / "baseline.int8.tflite")
    slow = dataclasses.replace(model, repeats=1)
    broken = dataclasses.replace(model, path=tmp_path / "nowhere.tflite")
    settings = make_settings(repeats=1, iterations=1)
    settings = dataclasses.replace(settings, threads=(1,), batches=(1, 8))
    lines: list[str] = []
    with Journal(tmp_path / "x.part", {}, resume=False) as journal:
        steps = Steps(tmp_path, labeled, settings, journal)
        found = measure_throughputs([model, broken], steps, lines.append)
    with Journal(tmp_path / "x.part", {}, resume=False) as journal:
        steps = Steps(tmp_path, labeled, settings, journal)
        found |= measure_throughputs([slow], steps, lines.append)
    assert set(found) == {model, slow}
    for one, repetitions in ((model, 3), (slow, 1)):
        assert [(each.batch, each.threads) for each in found[one]] == [(1, 1), (8, 1)]
        assert [len(each.images_per_second) for each in found[one]] == [repetitions] * 2
    assert lines[0] == "throughput 1 of 3: 1 threads"
