"""A run of the suite on real files, and what its statistics say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks.measure import session
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
        rounds = 3 if variant.format == "keras" else 4
        assert [len(one.latencies_us) for one in variant.rounds] == [200] * rounds
        grid = {(one.batch, one.threads) for one in variant.throughputs}
        settings = run.settings
        assert grid == {(b, t) for b in settings.batches for t in settings.threads}
    assert len(run.machine_states) == 5
    assert run.failures == ()


def test_float_files_answer_as_keras_does(analysis: Analysis) -> None:
    """Float files give every image the Keras model's label, int8 files nearly every."""
    for variant in analysis.variants:
        agreement = analysis.agreement(variant).value
        assert agreement == 1 if variant.precision == "float32" else agreement > 0.97
        assert abs(analysis.log_loss(variant) - analysis.log_loss(analysis.reference)) < 0.1


def test_accuracy_is_the_trained_ones(analysis: Analysis, finished: Run) -> None:
    """The share of images right is near what training measured on other test images."""
    trained = json.loads(finished.metrics_path.read_text("utf-8"))["test"]["accuracy"]
    low, high = analysis.accuracy(analysis.reference).interval
    assert low - 0.04 < trained < high + 0.04


@pytest.mark.usefixtures("quick_int8")
def test_int8_is_faster(analysis: Analysis) -> None:
    """Both int8 files answer faster than the float file of their format, beyond noise."""
    for variant in analysis.variants:
        baseline = analysis.baseline(variant)
        if variant.precision == "int8":
            assert baseline is not None
            assert analysis.speedup(variant, baseline).value > 1


def test_figures_are_those_of_the_samples(analysis: Analysis) -> None:
    """Accuracy, median, throughput and start are what NumPy computes from the samples."""
    for variant in analysis.variants:
        hits = np.equal(variant.answers, analysis.result.labels)
        assert analysis.accuracy(variant).value == hits.mean()
        calls = [us for one in variant.rounds for us in one.latencies_us]
        assert analysis.latency_us(variant, 50) == pytest.approx(np.median(calls))
        assert analysis.start_s(variant) == np.median([one.start_s for one in variant.rounds])
        rates = next(
            one.rates for one in variant.throughputs if (one.batch, one.threads) == (64, 1)
        )
        assert analysis.images_per_s(variant) == np.median(rates)
        assert analysis.confusion(variant).trace() == hits.sum()


def test_work_against_the_peak(analysis: Analysis) -> None:
    """Multiply-accumulates a second are those of an image over its time; int8 has four times."""
    variant = analysis.variants[3]
    run = session.with_macs(analysis.run, {variant.sha256: 1_000_000})
    counted = type(analysis)(analysis.result, run)
    work = counted.macs_per_s(run.variants[3])
    assert work == pytest.approx(1e12 / analysis.latency_us(variant, 50))
    assert counted.macs_per_s(run.variants[2]) is None
    share, peak = counted.peak_share(run.variants[3]), run.machine.sgemm_gmacs
    assert share is not None
    assert peak is not None
    assert share == pytest.approx(work / 1e9 / peak / run.machine.int8_factor)


def test_bad_ones_among_good_ones(
    files: Sequence[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """Files that are damaged, missing or of other classes are left out, and said why."""
    damaged = tmp_path / "damaged.int8.tflite"
    content = bytearray(files[2].read_bytes())
    content[5000] ^= 1
    damaged.write_bytes(content)
    plan = session.plan(
        [damaged, Path("nowhere.tflite"), files[2]], labeled, keras_model=None, rounds=1, calls=5
    )
    measured, journal = session.measure(plan, tmp_path, resume=False, progress=lambda _: None)
    journal.close(finished=True)
    (run,) = measured.runs
    assert [one.name for one in run.variants] == [files[2].name]
    reasons = {one.name: one.reason for one in run.failures}
    assert "checksum differs" in reasons["damaged.int8.tflite"]
    assert "does not exist" in reasons["nowhere.tflite"]
    assert not any("\n" in reason for reason in reasons.values())


def test_labels_that_are_not_the_datas(files: Sequence[Path], labeled: LabeledImages) -> None:
    """A model of other classes than the data's is not measured."""
    other = type(labeled)("cats", labeled.images, labeled.labels % 2, ("cat", "dog"))
    with pytest.raises(ModelFileError, match=r"its labels \(T-shirt/top, .* 10 in all\) are not"):
        session.plan(files, other, keras_model=None)


def test_a_model_that_dies_meanwhile(
    files: Sequence[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """A file that is gone after the first round is a failure, and the others are finished."""
    lost = Path(shutil.copy(files[0], tmp_path / "lost.tflite"))
    plan = session.plan([lost, files[2]], labeled, keras_model=None, rounds=2, calls=5)

    def remove(line: str) -> None:
        if line.startswith("round 2"):
            lost.unlink()

    measured, journal = session.measure(plan, tmp_path, resume=False, progress=remove)
    journal.close(finished=True)
    (run,) = measured.runs
    assert [one.name for one in run.variants] == [files[2].name]
    assert [one.name for one in run.failures] == ["lost.tflite"]


def test_an_interrupted_run_goes_on(
    files: Sequence[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """What was measured before Ctrl-C is kept to the number, and only the rest is measured."""
    plan = session.plan([files[2]], labeled, keras_model=None, rounds=3, calls=5)

    def interrupt(line: str) -> None:
        if line.startswith("round 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.measure(plan, tmp_path, resume=False, progress=interrupt)
    part = tmp_path / session.PART
    kept = [json.loads(line) for line in part.read_text("utf-8").splitlines()]
    measured, journal = session.measure(plan, tmp_path, resume=True, progress=lambda _: None)
    journal.close(finished=True)
    before = [
        line["value"]["latencies_us"] for line in kept[1:] if line["step"].startswith("round")
    ]
    after = [list(one.latencies_us) for one in measured.runs[0].variants[0].rounds]
    assert after[:2] == before
    assert len(after) == 3
    assert not part.exists()


def test_nothing_to_resume(files: Sequence[Path], labeled: LabeledImages, tmp_path: Path) -> None:
    """Resuming nothing, or a run of other settings, is refused."""
    plan = session.plan([files[2]], labeled, keras_model=None, rounds=1, calls=5)
    with pytest.raises(DataError, match="nothing to resume"):
        session.measure(plan, tmp_path, resume=True, progress=lambda _: None)
    _, journal = session.measure(plan, tmp_path, resume=False, progress=lambda _: None)
    journal.close(finished=False)
    other = session.plan([files[2]], labeled, keras_model=None, rounds=2, calls=5)
    with pytest.raises(DataError, match="with other settings; begin anew without --resume"):
        session.measure(other, tmp_path, resume=True, progress=lambda _: None)


def test_no_files_and_no_rounds(files: Sequence[Path], labeled: LabeledImages) -> None:
    """Nothing to measure, and a count of nothing, are said."""
    with pytest.raises(DataError, match="no model file to benchmark"):
        session.plan([], labeled, keras_model=None)
    with pytest.raises(DataError, match=r"rounds must be at least 1\. Received: rounds=0"):
        session.plan(files, labeled, keras_model=None, rounds=0)
