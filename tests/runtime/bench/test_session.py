"""A session: the order of measurements, failures, interruptions."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.bench.models import Selection, open_model
from fmx_runtime.bench.session import make_settings, open_session
from fmx_runtime.errors import DataError, ImageError, ModelFileError
from fmx_runtime.labeled_images import LabeledImages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_runtime.bench.result import Run, Settings


@pytest.fixture(scope="module")
def files(exported: Path) -> list[Path]:
    """Two real int8 files."""
    return [exported / "baseline.int8.tflite", exported / "baseline.float32.tflite"]


def _select(files: Sequence[Path], labeled: LabeledImages) -> Selection:
    return Selection(models=tuple(map(open_model, files)), failures=(), labeled=labeled)


def _settings(repeats: int) -> Settings:
    """Few and short measurements."""
    return dataclasses.replace(make_settings(repeats=repeats, iterations=3), threads=(1,))


def _measure(selection: Selection, journal: Path, *, repeats: int = 1) -> Run:
    with open_session(journal, selection, _settings(repeats), resume=False) as session:
        return session.measure(lambda _: None)


@pytest.fixture(scope="module")
def measured(
    files: list[Path], labeled: LabeledImages, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, list[str]]:
    """A run of two models with three repeats, and the names of its steps in their order."""
    journal = tmp_path_factory.mktemp("session") / "x.part"
    settings = make_settings(repeats=3, iterations=3)
    with open_session(journal, _select(files, labeled), settings, resume=False) as session:
        run = session.measure(lambda _: None)
        lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    names = [line["step"].partition(": ") for line in lines[1:]]
    return run, [f"{step}: {Path(path).name}" if path else step for step, _, path in names]


def test_models_are_measured_there_and_back(
    measured: tuple[Run, list[str]], files: list[Path]
) -> None:
    """Each repeat measures the models in the opposite order of the one before."""
    first, second = (path.name for path in files)
    repeats = [step for step in measured[1] if step.startswith(("repeat", "machine state"))]
    assert repeats == [
        "machine state 0",
        f"repeat 0: {first}",
        f"repeat 0: {second}",
        "machine state 1",
        f"repeat 1: {second}",
        f"repeat 1: {first}",
        "machine state 2",
        f"repeat 2: {first}",
        f"repeat 2: {second}",
        "machine state 3",
    ]


def test_everything_is_measured(
    measured: tuple[Run, list[str]], files: list[Path], labeled: LabeledImages
) -> None:
    """Each model has all its repeats, predictions and throughputs, in the order of the models."""
    run, _ = measured
    assert [one.name for one in run.variants] == [path.name for path in files]
    assert run.device == "local"
    assert len(run.machine_states) == 4
    for variant in run.variants:
        assert [len(one.latencies_us) for one in variant.repeats] == [3, 3, 3]
        assert len(variant.predictions) == len(labeled.labels)
        pairs = {(one.batch, one.threads) for one in variant.throughputs}
        assert pairs == {(b, t) for b in run.settings.batches for t in run.settings.threads}
        assert {len(one.images_per_second) for one in variant.throughputs} == {3}


def test_the_journal_is_removed_at_the_end_of_the_block(
    files: list[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """It is kept while the block runs, so that work after the measurement can be resumed too."""
    journal = tmp_path / "x.part"
    settings, selection = _settings(1), _select(files[:1], labeled)
    with (
        contextlib.suppress(ZeroDivisionError),
        open_session(journal, selection, settings, resume=False) as session,
    ):
        measured = session.measure(lambda _: None)
        session.once("more", lambda: 1 // 0)
    assert journal.exists()
    with open_session(journal, selection, settings, resume=True) as session:
        assert session.measure(lambda _: None).variants == measured.variants
        assert session.once("more", lambda: 7) == 7
    assert not journal.exists()


def test_a_model_that_fails(files: list[Path], labeled: LabeledImages, tmp_path: Path) -> None:
    """A file that disappears after the first repeat is a failure; the others are finished."""
    lost = Path(shutil.copy(files[0], tmp_path / "lost.tflite"))

    def remove(line: str) -> None:
        if line.startswith("repeat 2"):
            lost.unlink()

    settings = _settings(2)
    selection = _select([lost, files[1]], labeled)
    with open_session(tmp_path / "x.part", selection, settings, resume=False) as session:
        run = session.measure(remove)
    assert [one.name for one in run.variants] == [files[1].name]
    assert [one.name for one in run.failures] == ["lost.tflite"]


def test_all_models_fail(files: list[Path], labeled: LabeledImages, tmp_path: Path) -> None:
    """If no model is left, the first one's reason is the error."""
    lost = Path(shutil.copy(files[0], tmp_path / "lost.tflite"))
    selection = _select([lost], labeled)
    lost.unlink()
    with pytest.raises(ModelFileError, match=r"lost\.tflite"):
        _measure(selection, tmp_path / "x.part")


def test_a_broken_image_is_no_model_failure(files: list[Path], tmp_path: Path) -> None:
    """An image that cannot be read ends the session with an `ImageError` that names the image.

    The selection leaves such images out; this one breaks after that.
    """
    broken = tmp_path / "broken.png"
    Image.new("L", (28, 28)).save(broken)
    broken.write_bytes(broken.read_bytes()[:40])
    names = open_model(files[0]).metadata.labels
    labeled = LabeledImages(
        "broken", [str(broken)], labels=np.zeros(1, np.int64), class_names=names
    )
    with pytest.raises(ImageError, match=r"broken\.png"):
        _measure(_select(files, labeled), tmp_path / "x.part")


def test_an_interrupted_session_is_resumed(
    files: list[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """What was measured before Ctrl-C is kept to the digit, and only the rest is measured."""
    journal, settings = tmp_path / "x.part", _settings(3)
    selection = _select(files[:1], labeled)

    def interrupt(line: str) -> None:
        if line.startswith("repeat 3"):
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        open_session(journal, selection, settings, resume=False) as session,
    ):
        session.measure(interrupt)
    kept = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    with open_session(journal, selection, settings, resume=True) as session:
        run = session.measure(lambda _: None)
    before = [
        line["value"]["latencies_us"] for line in kept[1:] if line["step"].startswith("repeat")
    ]
    after = [list(one.latencies_us) for one in run.variants[0].repeats]
    assert after[:2] == before
    assert len(after) == 3


def test_what_cannot_be_resumed(files: list[Path], labeled: LabeledImages, tmp_path: Path) -> None:
    """Nothing, and a session with other settings, are refused."""
    journal, selection = tmp_path / "x.part", _select(files[:1], labeled)
    settings = _settings(1)
    with (
        pytest.raises(DataError, match="nothing to resume"),
        open_session(journal, selection, settings, resume=True),
    ):
        pass
    with (
        pytest.raises(KeyboardInterrupt),
        open_session(journal, selection, settings, resume=False),
    ):
        raise KeyboardInterrupt
    other = _settings(2)
    with (
        pytest.raises(DataError, match="with other settings; start again without --resume"),
        open_session(journal, selection, other, resume=True),
    ):
        pass


def test_settings() -> None:
    """Numbers of threads double from one; a count below one is refused."""
    settings = make_settings(repeats=1, iterations=1)
    assert settings.threads[0] == 1
    assert all(b == 2 * a for a, b in zip(settings.threads, settings.threads[1:], strict=False))
    with pytest.raises(DataError, match=r"repeats must be at least 1\. Received: repeats=0"):
        make_settings(repeats=0, iterations=1)
    with pytest.raises(DataError, match=r"iterations must be at least 1\. Received: iterations=0"):
        make_settings(repeats=1, iterations=0)
