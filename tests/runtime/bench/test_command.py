"""``fmx-run bench`` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.bench.result import Result
from fmx_runtime.classifier import Classifier
from fmx_runtime.labeled_images import LabeledImages, save

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset


def _bench(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fmx_runtime.command.main", "bench", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_models_are_measured(exported: Path, npz: Path, tmp_path: Path, sample: Dataset) -> None:
    """All models are measured on all images; a file that is no model makes the exit code 1."""
    models = [exported / "baseline.int8.tflite", exported / "baseline.float32.tflite"]
    done = _bench(
        *models, npz, "--images", npz, "--repeats", "2", "--iterations", "5", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "repeat 2 of 2" in done.stderr
    assert "'few.npz' was not measured" in done.stderr
    assert not done.stdout
    result = Result.from_json((tmp_path / "result.json").read_text("utf-8"))
    (run,) = result.runs
    assert result.class_names == sample.class_names
    assert [one.name for one in run.variants] == [path.name for path in models]
    rows = Classifier(models[0]).predict(sample.images)
    assert run.variants[0].predictions == tuple(rows.argmax(axis=1).tolist())
    expected = rows[np.arange(len(rows)), sample.labels]
    assert np.allclose(run.variants[0].true_label_scores, expected, rtol=1e-3)
    assert [one.name for one in run.failures] == ["few.npz"]
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_of_images(exported: Path, broken_folder: Path, tmp_path: Path) -> None:
    """Folders are classes in the order of the model's labels; a broken image is left out.

    The image is reported on stderr and is no failure of the model: the exit code is 0.
    """
    model = exported / "baseline.int8.tflite"
    done = _bench(
        model, "--images", broken_folder, "--repeats", "1", "--iterations", "2", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert str(broken_folder / "Bag") in done.stderr
    result = Result.from_json((tmp_path / "result.json").read_text("utf-8"))
    assert result.class_names == Classifier(model).metadata.labels
    assert len(result.labels) == 39
    assert result.labels.count(result.class_names.index("Bag")) == 3
    (run,) = result.runs
    assert run.failures == ()
    correct = np.equal(run.variants[0].predictions, result.labels)
    assert correct.mean() > 0.5  # by chance it is 0.1


def test_images_of_other_classes(exported: Path, sample: Dataset, tmp_path: Path) -> None:
    """Images whose classes are not the model's labels are one line and exit code 3."""
    cats = LabeledImages("cats", sample.images, sample.labels % 2, ("cat", "dog"))
    save(cats, tmp_path / "cats.npz")
    done = _bench(exported / "baseline.int8.tflite", "--images", "cats.npz", cwd=tmp_path)
    assert done.returncode == 3
    assert "T-shirt/top, Trouser, Pullover, Dress, … 10 in all" in done.stderr
    assert not list(tmp_path.glob("result*"))


def test_ctrl_c_and_resume(exported: Path, npz: Path, tmp_path: Path) -> None:
    """Ctrl-C exits with 130 and keeps what was measured; --resume completes the result."""
    model = exported / "baseline.int8.tflite"
    arguments = [str(model), "--images", str(npz), "--repeats", "30", "--iterations", "5"]
    command = [sys.executable, "-m", "fmx_runtime.command.main", "bench", *arguments]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "repeat 4" in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert "continue with --resume" in rest
    kept = (tmp_path / "result.json.part").read_text("utf-8").splitlines()
    assert len(kept) >= 5
    done = _bench(*arguments, "--resume", cwd=tmp_path)
    assert done.returncode == 0
    (run,) = Result.from_json((tmp_path / "result.json").read_text("utf-8")).runs
    assert len(run.variants[0].repeats) == 30
    first = next(json.loads(line)["value"] for line in kept[1:] if '"repeat 0:' in line)
    assert list(run.variants[0].repeats[0].latencies_us) == first["latencies_us"]
