"""On the device: ``fmx-run`` as a process of its own."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fmx_runtime import Classifier


@pytest.fixture(scope="module")
def here(prepared: Path | None) -> Path:
    """The prepared folder."""
    if prepared is None:
        pytest.skip("only on a device, which 'make test-arm64' emulates")
    return prepared


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
def test_a_folder(options: tuple[str, ...], here: Path) -> None:
    """All pictures of a folder are answered as the library answers them, with one worker or two."""
    done = fmx_run(here, *options, here / "files")
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    files = sorted((here / "files").iterdir())
    assert [answer["path"] for answer in answers] == [str(path) for path in files]
    classifier = Classifier(here / "exported" / "baseline.int8.tflite")
    for path, answer in zip(files[::10], answers[::10], strict=True):
        (best,) = classifier.classify(path, 1)
        assert (answer["label"], answer["score"]) == (best.label, round(best.score, 6))


def test_a_table(here: Path) -> None:
    """``--csv`` has a line for each picture, the one that is missing too; exit code 1."""
    done = fmx_run(here, "--csv", here / "files" / "00.png", here / "gone.png")
    first, second = csv.DictReader(io.StringIO(done.stdout))
    assert first["label"]
    assert "does not exist" in second["error"]
    assert done.returncode == 1


def test_the_card(here: Path) -> None:
    """``--info`` says what runs the model here."""
    done = fmx_run(here, "--info")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ai-edge-litert" in done.stdout
    assert "aarch64" in done.stdout
