"""Which models are measured, and what a real benchmark of them finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_benchmarks.measure.session import model_files, select_models, with_macs
from fmx_runtime.errors import DataError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Result
    from fmx_runtime.labeled_images import LabeledImages
    from fmx_training.run_folder import Run


def test_every_model_is_measured(result: Result, files: Sequence[Path], finished: Run) -> None:
    """The Keras model comes first, then the files as given, each with all its samples."""
    (run,) = result.runs
    paths = [finished.model_path, *files]
    assert [one.name for one in run.variants] == [path.name for path in paths]
    assert [one.size_bytes for one in run.variants] == [path.stat().st_size for path in paths]
    for variant in run.variants:
        repeats = 3 if variant.format == "keras" else 4
        assert [len(one.latencies_us) for one in variant.repeats] == [50] * repeats
        pairs = {(one.batch, one.threads) for one in variant.throughputs}
        settings = run.settings
        assert pairs == {(b, t) for b in settings.batches for t in settings.threads}
    assert len(run.machine_states) == 5
    assert run.failures == ()


def test_float_files_predict_as_keras_does(analysis: Analysis) -> None:
    """Float files predict the Keras model's label for every image, int8 files for nearly all."""
    for variant in analysis.variants:
        agreement = analysis.agreement(variant).value
        assert agreement == 1 if variant.precision == "float32" else agreement > 0.97
        assert abs(analysis.log_loss(variant) - analysis.log_loss(analysis.reference)) < 0.1


def test_accuracy_is_that_of_the_training(analysis: Analysis, finished: Run) -> None:
    """The accuracy is near the one that training measured on other test images."""
    trained = json.loads(finished.metrics_path.read_text("utf-8"))["test"]["accuracy"]
    low, high = analysis.accuracy(analysis.reference).interval
    assert low - 0.04 < trained < high + 0.04


@pytest.mark.timed
@pytest.mark.usefixtures("quick_int8")
def test_int8_is_faster(analysis: Analysis) -> None:
    """Both int8 files are faster than the float file of their format."""
    for variant in analysis.variants:
        baseline = analysis.baseline(variant)
        if variant.precision == "int8":
            assert baseline is not None
            assert analysis.speedup(variant, baseline).value > 1


def test_the_keras_model_comes_first(
    files: Sequence[Path], finished: Run, labeled: LabeledImages
) -> None:
    """It is float32, has few repeats, and is no model file."""
    selection = select_models(files, labeled, keras_model=finished.model_path, report=print)
    keras = selection.models[0]
    assert (keras.format, keras.precision, keras.repeats) == ("keras", "float32", 3)
    assert keras.metadata.input.dtype == "float32"
    assert keras.metadata.test_vectors is None
    assert model_files(selection) == tuple(files)


def test_files_that_cannot_be_measured(
    files: Sequence[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """Damaged and missing files are failures with one line each."""
    damaged = tmp_path / "damaged.int8.tflite"
    content = bytearray(files[2].read_bytes())
    content[5000] ^= 1
    damaged.write_bytes(content)
    selection = select_models(
        [damaged, Path("nowhere.tflite"), files[2]], labeled, keras_model=None, report=print
    )
    assert [one.name for one in selection.models] == [files[2].name]
    reasons = {one.name: one.reason for one in selection.failures}
    assert "checksum differs" in reasons["damaged.int8.tflite"]
    assert "does not exist" in reasons["nowhere.tflite"]
    assert not any("\n" in reason for reason in reasons.values())


def test_images_of_other_classes(files: Sequence[Path], labeled: LabeledImages) -> None:
    """Images of other classes than the models' are refused."""
    cats = type(labeled)("cats", labeled.images, labeled.labels % 2, ("cat", "dog"))
    with pytest.raises(ModelFileError, match=r"\(T-shirt/top, .* 10 in all\)"):
        select_models(files, cats, keras_model=None, report=print)


def test_no_files(labeled: LabeledImages) -> None:
    """Nothing to measure is an error."""
    with pytest.raises(DataError, match="no model file to benchmark"):
        select_models([], labeled, keras_model=None, report=print)


def test_macs_are_by_checksum(result: Result) -> None:
    """Each model gets the count of its own file; others have none."""
    run = result.runs[0]
    counted = with_macs(run, {run.variants[1].sha256: 7})
    assert [one.macs for one in counted.variants] == [None, 7, None, None, None]
