"""``fmx-run bench``, as a process of its own, and what it is made of."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.bench.journal import Journal
from fmx_runtime.bench.process import last_core, measure
from fmx_runtime.bench.result import Result
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import BackendError, DataError, ModelFileError, OutputError
from fmx_runtime.labeled_images import LabeledImages, read, save

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset, Splits

WORKER = ["fmx_runtime.bench.worker"]


@pytest.fixture(scope="module")
def sample(splits: Splits) -> Dataset:
    """40 real test images."""
    return splits.test.balanced_sample(40, 0)


@pytest.fixture(scope="module")
def npz(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    path = tmp_path_factory.mktemp("few") / "few.npz"
    save(LabeledImages(sample.name, sample.images, sample.labels, sample.class_names), path)
    return path


@pytest.fixture(scope="module")
def npy(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images alone, as worker processes take them."""
    path = tmp_path_factory.mktemp("few") / "few.npy"
    np.save(path, sample.images)
    return path


def _bench(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fmx_runtime.command.main", "bench", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_it_measures(exported: Path, npz: Path, tmp_path: Path, sample: Dataset) -> None:
    """All models are measured on all images; a file that is none makes the exit code 1."""
    models = [exported / "baseline.int8.tflite", exported / "baseline.float32.tflite"]
    done = _bench(
        *models, npz, "--images", npz, "--repeats", "2", "--iterations", "5", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "round 2 of 2" in done.stderr
    assert "'few.npz' was not measured" in done.stderr
    assert not done.stdout
    result = Result.from_json((tmp_path / "result.json").read_text("utf-8"))
    (run,) = result.runs
    assert result.class_names == sample.class_names
    assert [one.name for one in run.variants] == [path.name for path in models]
    rows = Classifier(models[0]).predict(sample.images)
    assert run.variants[0].answers == tuple(rows.argmax(axis=1).tolist())
    expected = rows[np.arange(len(rows)), sample.labels]
    assert np.allclose(run.variants[0].true_scores, expected, rtol=1e-3)
    assert [one.name for one in run.failures] == ["few.npz"]
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_of_images(exported: Path, sample: Dataset, tmp_path: Path) -> None:
    """A folder with one folder for each class is what an array is; its order is the names'."""
    for index, image in enumerate(sample.images):
        name = sample.class_names[sample.labels[index]].replace("/", "-")
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(folder / f"{index}.png")
    found = read(tmp_path / "data")
    assert len(found.labels) == 40
    assert found.class_names == tuple(sorted(name.replace("/", "-") for name in sample.class_names))
    spec = Classifier(exported / "baseline.int8.tflite").metadata.input
    assert found.pixels(spec).shape == (40, 28, 28, 1)
    done = _bench(exported / "baseline.int8.tflite", "--images", tmp_path / "data", cwd=tmp_path)
    assert done.returncode == 3
    assert "its labels (T-shirt/top, Trouser, Pullover, Dress, … 10 in all) are not" in done.stderr


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 4, 4), np.uint8)}, "give an .npz file with 'images' and"),
        ({"images": np.zeros((2, 4), np.uint8), "labels": [0, 1]}, r"they are uint8 \(2, 4\)"),
        ({"images": np.zeros((2, 4, 4)), "labels": [0, 1]}, r"they are float64 \(2, 4, 4\)"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0]}, r"they are int64 \(1,\)"),
        ({"images": np.zeros((0, 4, 4), np.uint8), "labels": np.zeros(0, int)}, "no image in it"),
    ],
)
def test_images_that_cannot_be_used(
    arrays: dict[str, object], message: str, tmp_path: Path
) -> None:
    """What is wrong with labeled images is one line."""
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "x.npz")
    assert "\n" not in str(caught.value)


def test_no_images_at_all(tmp_path: Path) -> None:
    """A missing file, rubbish and an empty folder are said."""
    (tmp_path / "rubbish.npz").write_bytes(b"PK\3\4rubbish")
    np.save(tmp_path / "alone.npy", np.zeros((2, 4, 4), np.uint8))
    for name in ("missing.npz", "rubbish.npz", "alone.npy"):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path / name)
    with pytest.raises(DataError, match="has no images in folders"):
        read(tmp_path)


def test_ctrl_c_and_resume(exported: Path, npz: Path, tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and keeps what was measured; --resume ends with a whole result."""
    model = exported / "baseline.int8.tflite"
    arguments = [str(model), "--images", str(npz), "--repeats", "30", "--iterations", "5"]
    command = [sys.executable, "-m", "fmx_runtime.command.main", "bench", *arguments]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "round 4" in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    kept = (tmp_path / "result.json.part").read_text("utf-8").splitlines()
    assert len(kept) >= 5
    done = _bench(*arguments, "--resume", cwd=tmp_path)
    assert done.returncode == 0
    (run,) = Result.from_json((tmp_path / "result.json").read_text("utf-8")).runs
    assert len(run.variants[0].rounds) == 30
    first = next(json.loads(line)["value"] for line in kept[1:] if '"round 0:' in line)
    assert list(run.variants[0].rounds[0].latencies_us) == first["latencies_us"]


def test_a_journal_survives_a_cut(tmp_path: Path) -> None:
    """A last line that was cut off is measured again, the others are not."""
    path = tmp_path / "x.part"
    journal = Journal(path, {"a": 1}, resume=False)
    assert journal.once("one", lambda: (1, 2)) == [1, 2]
    journal.once("two", lambda: 2)
    journal.close(finished=False)
    path.write_text(path.read_text("utf-8")[:-5], "utf-8")
    again = Journal(path, {"a": 1}, resume=True)
    assert again.once("one", lambda: 0) == [1, 2]
    assert again.once("two", lambda: 3) == 3
    again.close(finished=True)
    assert not path.exists()
    other = Journal(path, {"same": (1, 2), "other": 1}, resume=False)
    other.close(finished=False)
    with pytest.raises(DataError, match="with other other; begin anew"):
        Journal(path, {"same": (1, 2), "other": 2}, resume=True)
    with pytest.raises(OutputError, match="cannot write to"):
        Journal(tmp_path / "missing" / "x.part", {}, resume=False)


def test_a_process_measures(exported: Path, npy: Path) -> None:
    """It starts in time, stays on its core, and tells its interpreter and its memory."""
    model = exported / "baseline.int8.tflite"
    done = measure(model, npy, worker=WORKER, threads=1, core=last_core(), calls=7, warmup=2)
    assert len(done.values["latencies_us"]) == 7
    assert done.runtime.split()[0] in {"ai-edge-litert", "tflite-runtime"}
    assert 10e6 < done.peak_bytes < 400e6
    assert 0.01 < done.start_s < 60
    rates = measure(model, npy, worker=WORKER, threads=2, core=None, batches=[1, 16]).values
    assert len(rates["rates"]) == 2


def test_processes_that_fail(exported: Path, npy: Path, tmp_path: Path) -> None:
    """A model that cannot be opened keeps its error's type; a process that dies is told as that."""
    with pytest.raises(ModelFileError, match="neither a TFLite nor an ONNX model"):
        measure(npy, npy, worker=WORKER, threads=1, core=None, calls=1, warmup=0)
    missing, model = tmp_path / "missing.npy", exported / "baseline.int8.tflite"
    with pytest.raises(BackendError, match=r"died \(exit code 1\): .*No such file") as caught:
        measure(model, missing, worker=WORKER, threads=1, core=None, calls=1, warmup=0)
    assert "\n" not in str(caught.value)


def test_a_result_survives_its_json(exported: Path, npz: Path, tmp_path: Path) -> None:
    """Writing and reading gives an equal result; answers that are not there are refused."""
    model = exported / "baseline.int8.tflite"
    _bench(model, "--images", npz, "--repeats", "1", "--iterations", "2", cwd=tmp_path)
    text = (tmp_path / "result.json").read_text("utf-8").strip()
    result = Result.from_json(text)
    assert result.to_json() == text
    (run,) = result.runs
    for change, message in (
        ({"answers": ()}, "has not answered each image once"),
        ({"answers": (77,) * 40}, "answers with classes that the data have not"),
        ({"rounds": ()}, "has a round without times"),
    ):
        broken = dataclasses.replace(run.variants[0], **change)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=message):
            dataclasses.replace(result, runs=(dataclasses.replace(run, variants=(broken,)),))
    with pytest.raises(DataError, match="is empty"):
        dataclasses.replace(result, runs=())
