"""On the device: ``fmx-run`` as a process of its own."""

from __future__ import annotations

import csv
import io
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fmx_runtime import Classifier
from fmx_runtime.bench.result import Result


def fmx_run(here: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, with the int8 TFLite model; its words without a warning among them."""
    command = Path(sys.executable).with_name("fmx-run")
    done = subprocess.run(
        [command, "--model", here / "exported" / "baseline.int8.tflite", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done


@pytest.mark.parametrize("options", [("--jsonl",), ("--jsonl", "--threads", "2")])
def test_a_folder(options: tuple[str, ...], here: Path, tmp_path: Path) -> None:
    """A folder of images is answered as the library answers them, with one worker or two."""
    for path in sorted((here / "files").iterdir())[::8]:
        (tmp_path / path.name).symlink_to(path)
    done = fmx_run(here, *options, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    files = sorted(tmp_path.iterdir())
    assert [answer["path"] for answer in answers] == [str(path) for path in files]
    classifier = Classifier(here / "exported" / "baseline.int8.tflite")
    for path, answer in zip(files, answers, strict=True):
        (best,) = classifier.classify(path, 1)
        assert (answer["label"], answer["score"]) == (best.label, round(best.score, 6))


def test_a_table(here: Path) -> None:
    """``--csv`` has a line for each image, the one that is missing too; exit code 1."""
    done = fmx_run(here, "--csv", here / "files" / "00.png", here / "gone.png")
    first, second = csv.DictReader(io.StringIO(done.stdout))
    assert first["label"]
    assert "does not exist" in second["error"]
    assert done.returncode == 1


def test_the_metadata(here: Path) -> None:
    """``--info`` says what runs the model here, and on what."""
    done = fmx_run(here, "--info")
    assert (done.returncode, done.stderr) == (0, "")
    assert Classifier(here / "exported" / "baseline.int8.tflite").backend in done.stdout
    assert platform.machine() in done.stdout
    assert platform.machine() in {"aarch64", "armv7l"}


@pytest.mark.slow
def test_a_benchmark(here: Path, tmp_path: Path) -> None:
    """``fmx-run bench`` measures on the device, and its answers are the library's."""
    model = here / "exported" / "baseline.int8.tflite"
    command = [Path(sys.executable).with_name("fmx-run"), "bench", model, "--repeats", "1"]
    done = subprocess.run(
        [*command, "--iterations", "10", "--images", here / "images.npz"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (run,) = Result.from_json((tmp_path / "result.json").read_text("utf-8")).runs
    assert run.machine.architecture == platform.machine()
    assert len(run.variants[0].repeats[0].latencies_us) == 10
    with np.load(here / "images.npz") as arrays:
        rows = Classifier(model).predict(arrays["images"][:50])
    assert run.variants[0].predictions[:50] == tuple(rows.argmax(axis=1).tolist())
