"""Single steps: what is recorded, skipped and passed on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.bench.journal import Journal
from fmx_runtime.bench.models import open_model
from fmx_runtime.bench.session import make_settings
from fmx_runtime.bench.session_steps import Steps
from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.bench.models import Model
    from fmx_runtime.labeled_images import LabeledImages


@pytest.fixture
def model(exported: Path) -> Model:
    """A real int8 file."""
    return open_model(exported / "baseline.int8.tflite")


@pytest.fixture
def steps(labeled: LabeledImages, tmp_path: Path) -> Iterator[Steps]:
    """Short measurements with an open journal."""
    settings = make_settings(repeats=1, iterations=3)
    with Journal(tmp_path / "x.part", {}, resume=False) as journal:
        yield Steps(tmp_path, labeled, settings, journal)


def test_each_step_is_recorded_once(steps: Steps, model: Model, tmp_path: Path) -> None:
    """A step that is asked for again is not measured again; images are written once."""
    first = steps.time(model, 0)
    assert first is not None
    assert len(first.latencies_us) == 3
    assert steps.time(model, 0) == first
    lines = (tmp_path / "x.part").read_text("utf-8").splitlines()[1:]
    assert [json.loads(line)["step"] for line in lines] == [f"repeat 0: {model.path}"]
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_a_failed_model_is_skipped(steps: Steps, model: Model, tmp_path: Path) -> None:
    """The first failure is kept, nothing is recorded, and no later step measures the model."""
    broken = dataclasses.replace(model, name="broken", path=tmp_path / "nowhere.tflite")
    assert steps.predict(broken) is None
    reason = steps.failed[broken].reason
    assert "does not exist" in reason
    assert steps.time(broken, 0) is None
    assert steps.throughput(broken, 1, 0) is None
    assert steps.failed[broken].reason == reason
    assert len((tmp_path / "x.part").read_text("utf-8").splitlines()) == 1


def test_a_full_disk_is_no_model_failure(steps: Steps, model: Model) -> None:
    """A journal that cannot be written ends the session, with no failure recorded."""
    steps.journal._file.close()
    steps.journal._file = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 (the journal closes it)
    with pytest.raises(OutputError, match="No space left on device; make room there"):
        steps.time(model, 0)
    assert not steps.failed
