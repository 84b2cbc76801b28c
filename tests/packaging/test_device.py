from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from fmx_runtime import Classifier

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Splits

HOST_ONLY = (
    "tensorflow",
    "keras",
    "onnx",
    "tf2onnx",
    "typer",
    "rich",
    "matplotlib",
    "fmx_training",
    "fmx_export",
    "fmx_benchmarks",
    "fmx_cli",
)
DEVIATION = 0.1  # of an int8 score between interpreter versions, see docs/interpreter-versions.md
MISSING = """
import importlib.util, sys
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])
"""


@pytest.fixture
def carried(exported: Path, splits: Splits, tmp_path: Path) -> Path:
    """A folder with the int8 model files and real test images, as somebody carries it over."""
    (tmp_path / "images").mkdir()
    for form in ("tflite", "onnx"):
        shutil.copy(exported / f"baseline.int8.{form}", tmp_path)
    for index in range(20):
        image = Image.fromarray(splits.test.images[index, :, :, 0])
        image.save(tmp_path / "images" / f"{index:02}.png")
    # the same things as photos have them: larger, in colour, dark on a light ground
    large = Image.fromarray(255 - splits.test.images[0, :, :, 0]).resize((300, 400)).convert("RGB")
    large.save(tmp_path / "images" / "large.png")
    return tmp_path


def test_nothing_of_the_host_is_there(device: Any, tmp_path: Path) -> None:
    """Neither TensorFlow nor Keras nor anything else of the host was installed."""
    done = device.run("python", "-c", MISSING, *HOST_ONLY, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_the_wheel_is_what_runs(device: Any, tmp_path: Path) -> None:
    """The package comes from the environment, not from the checkout."""
    code = "import fmx_runtime; print(fmx_runtime.__file__)"
    done = device.run("python", "-c", code, cwd=tmp_path)
    assert done.stdout.startswith(f"{device.folder}/lib/")


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_the_device_answers_as_the_host_does(form: str, device: Any, carried: Path) -> None:
    """``fmx-run`` of the installed wheel gives the very scores that the host's library gives."""
    model = f"baseline.int8.{form}"
    done = device.run(
        "fmx-run", "--model", model, "--top-k", "10", "--jsonl", "images", cwd=carried
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 21
    classifier = Classifier(carried / model)
    for answer in answers:
        expected = classifier.classify(carried / answer["path"], top_k=10)
        assert answer["top"] == [
            {"label": item.label, "score": round(item.score, 6)} for item in expected
        ]
    assert len({answer["label"] for answer in answers}) > 3


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_older_interpreter_answers_too(
    precision: str, old_device: Any, exported: Path, carried: Path
) -> None:
    """With tflite-runtime, chosen by itself, the labels are those of the newer interpreter."""
    model = shutil.copy(exported / f"baseline.{precision}.tflite", carried)
    done = old_device.run("fmx-run", "--model", model, "--jsonl", "images", cwd=carried)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    classifier = Classifier(model)
    assert classifier.backend.startswith("ai-edge-litert ")
    for answer in answers:
        (expected,) = classifier.classify(carried / answer["path"], top_k=1)
        # the versions' kernels round differently
        assert abs(answer["score"] - expected.score) <= (DEVIATION if precision == "int8" else 1e-4)
        assert answer["label"] == expected.label


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_file_proves_itself(
    precision: str, device: Any, old_device: Any, exported: Path, tmp_path: Path
) -> None:
    """Answers are exact with the interpreter of the export, and within tolerance with the older."""
    model = shutil.copy(exported / f"baseline.{precision}.tflite", tmp_path)
    for machine, verdicts in (
        (device, {"exact"}),
        (old_device, {"exact", "within tolerance"}),
    ):
        done = machine.run("fmx-run", "--self-test", "--jsonl", model, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        result = json.loads(done.stdout)
        assert result["verdict"] in verdicts
        assert result["images"] == 3
        assert result["labels_agree"]
    assert result["backend"] == "tflite-runtime 2.14.0"


def test_test_vectors_images_are_steady(old_device: Any, exported: Path, tmp_path: Path) -> None:
    """The older interpreter rounds otherwise, but not on the images that int8 export chooses."""
    model = shutil.copy(exported / "baseline.int8.tflite", tmp_path)
    done = old_device.run("fmx-run", "--self-test", "--jsonl", model, cwd=tmp_path)
    assert json.loads(done.stdout)["verdict"] == "exact"


def test_the_older_interpreter_is_named(old_device: Any, carried: Path) -> None:
    """What is not installed there is said with the command that installs it."""
    for arguments, remedy in (
        (["--backend", "ai-edge-litert"], "pip install ai-edge-litert"),
        (["--model", "baseline.int8.onnx"], "pip install onnxruntime"),
    ):
        done = old_device.run("fmx-run", *arguments, "images/00.png", cwd=carried)
        assert (done.returncode, done.stdout) == (3, "")
        assert remedy in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_model_is_found(device: Any, carried: Path) -> None:
    """In the folder that was carried over, ``fmx-run IMAGE`` needs no option."""
    done = device.run("fmx-run", "images/00.png", cwd=carried)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("images/00.png: ")


def test_failures_are_explained(device: Any, carried: Path) -> None:
    """On the device too, what goes wrong is one line and its exit code."""
    for arguments, code in ((["gone.png"], 1), (["--model", "gone", "images/00.png"], 3)):
        done = device.run("fmx-run", *arguments, cwd=carried)
        assert (done.returncode, done.stdout) == (code, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("fmx-run: ")
