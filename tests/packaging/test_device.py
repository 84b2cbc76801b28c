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
INSTALLED = """
import importlib.metadata, re
found = importlib.metadata.distributions()
print(*[re.sub("[-_.]+", "-", item.metadata["Name"]).lower() for item in found])
"""
MISSING = """
import importlib.util, sys
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])
"""


@pytest.fixture
def model_folder(exported: Path, splits: Splits, tmp_path: Path) -> Path:
    """A folder with int8 model files and real test images, as copied to a device."""
    (tmp_path / "images").mkdir()
    for form in ("tflite", "onnx"):
        shutil.copy(exported / f"baseline.int8.{form}", tmp_path)
    for index in range(20):
        image = Image.fromarray(splits.test.images[index, :, :, 0])
        image.save(tmp_path / "images" / f"{index:02}.png")
    # the same things as photos have them: larger, in color, dark on a light ground
    large = Image.fromarray(255 - splits.test.images[0, :, :, 0]).resize((300, 400)).convert("RGB")
    large.save(tmp_path / "images" / "large.png")
    return tmp_path


def test_nothing_of_the_host_is_installed(device: Any, tmp_path: Path) -> None:
    """Neither TensorFlow nor Keras nor any other package of the host is installed."""
    done = device.run("python", "-c", MISSING, *HOST_ONLY, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_installed_packages(device: Any, tmp_path: Path) -> None:
    """Only what the wheel names is installed, and the packages that these need."""
    done = device.run("python", "-c", INSTALLED, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    installed = set(done.stdout.split())
    direct = {"fmx-runtime", "numpy", "pillow", "ai-edge-litert", "onnxruntime"}
    assert direct <= installed
    # what ai-edge-litert and onnxruntime need themselves
    indirect = {"backports-strenum", "flatbuffers", "ml-dtypes", "packaging", "protobuf", "tqdm"}
    assert installed - direct <= indirect | {"typing-extensions"}


def test_the_wheel_is_imported(device: Any, tmp_path: Path) -> None:
    """The package is imported from the environment, not from the checkout."""
    code = "import fmx_runtime; print(fmx_runtime.__file__)"
    done = device.run("python", "-c", code, cwd=tmp_path)
    assert done.stdout.startswith(f"{device.folder}/lib/")


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_predictions_are_those_of_the_host(form: str, device: Any, model_folder: Path) -> None:
    """``fmx-run`` of the installed wheel gives the scores of the host's library."""
    model = f"baseline.int8.{form}"
    done = device.run(
        "fmx-run", "--model", model, "--top-k", "10", "--jsonl", "images", cwd=model_folder
    )
    assert (done.returncode, done.stderr) == (0, "")
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(predictions) == 21
    classifier = Classifier(model_folder / model)
    for prediction in predictions:
        expected = classifier.classify(model_folder / prediction["path"], top_k=10)
        assert prediction["top"] == [
            {"label": item.label, "score": round(item.score, 6)} for item in expected
        ]
    assert len({prediction["label"] for prediction in predictions}) > 3


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_predictions_of_the_older_interpreter(
    precision: str, old_device: Any, exported: Path, model_folder: Path
) -> None:
    """tflite-runtime is found, and gives the labels of the newer interpreter."""
    model = shutil.copy(exported / f"baseline.{precision}.tflite", model_folder)
    done = old_device.run("fmx-run", "--model", model, "--jsonl", "images", cwd=model_folder)
    assert (done.returncode, done.stderr) == (0, "")
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    classifier = Classifier(model)
    assert classifier.backend.startswith("ai-edge-litert ")
    for prediction in predictions:
        (expected,) = classifier.classify(model_folder / prediction["path"], top_k=1)
        # the versions' kernels round differently
        assert abs(prediction["score"] - expected.score) <= (
            DEVIATION if precision == "int8" else 1e-4
        )
        assert prediction["label"] == expected.label


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_self_test(
    precision: str, device: Any, old_device: Any, exported: Path, tmp_path: Path
) -> None:
    """It is exact with the interpreter of the export, and within tolerance with the older one."""
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


def test_test_vectors_are_exact_with_the_older_interpreter(
    old_device: Any, exported: Path, tmp_path: Path
) -> None:
    """The interpreters round differently, but not for the images that int8 export selects."""
    model = shutil.copy(exported / "baseline.int8.tflite", tmp_path)
    done = old_device.run("fmx-run", "--self-test", "--jsonl", model, cwd=tmp_path)
    assert json.loads(done.stdout)["verdict"] == "exact"


def test_a_missing_interpreter_is_named(old_device: Any, model_folder: Path) -> None:
    """The message for an interpreter that is not installed has the command to install it."""
    for arguments, remedy in (
        (["--backend", "ai-edge-litert"], "pip install ai-edge-litert"),
        (["--model", "baseline.int8.onnx"], "pip install onnxruntime"),
    ):
        done = old_device.run("fmx-run", *arguments, "images/00.png", cwd=model_folder)
        assert (done.returncode, done.stdout) == (3, "")
        assert remedy in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_default_model(device: Any, model_folder: Path) -> None:
    """In a folder with one model, ``fmx-run IMAGE`` needs no option."""
    done = device.run("fmx-run", "images/00.png", cwd=model_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("images/00.png: ")


def test_failures_are_one_line(device: Any, model_folder: Path) -> None:
    """On the device too, a failure is one line and an exit code."""
    for arguments, code in ((["gone.png"], 1), (["--model", "gone", "images/00.png"], 3)):
        done = device.run("fmx-run", *arguments, cwd=model_folder)
        assert (done.returncode, done.stdout) == (code, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("fmx-run: ")
