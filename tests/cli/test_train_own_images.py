"""``fmx train --data``: the user's own images, from a folder to a prediction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from PIL import Image

from fmx_training import run_folder as runs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Completed = subprocess.CompletedProcess[str]

COLORS = {"cherry": (190, 30, 40), "lime": (60, 180, 50), "plum": (90, 40, 130)}


def write_images(folder: Path, count: int = 40) -> None:
    """Write noisy images of one color per class, in several sizes and formats, the first rarer."""
    random = np.random.default_rng(0)
    for number, (name, color) in enumerate(COLORS.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count if number else count // 3):
            pixels = random.normal(color, 30, (20 + index % 5, 24, 3)).clip(0, 255)
            suffix = ("png", "jpg", "webp", "bmp")[index % 4]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.{suffix}")


def test_from_a_folder_to_a_prediction(fmx: Callable[..., Completed], tmp_path: Path) -> None:
    """After training, export and Classifier need no option that describes the images."""
    write_images(tmp_path / "fruit/train")
    (tmp_path / "fruit/train/lime/broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    trained = fmx("train", "--data", "fruit", "--image-size", 16, "--epochs", 25, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "broken.jpg' is damaged" in trained.stderr
    assert "classes are unbalanced: 'lime' has" in trained.stderr
    assert "images of fruit train; run folder runs/photo-20" in trained.stderr
    run = runs.newest_run(tmp_path / "runs", finished=True)
    assert run.info.labels == tuple(COLORS)
    assert run.info.input.shape == (16, 16, 3)
    assert run.info.input.polarity == "any"
    (tmp_path / "fruit").rename(tmp_path / "moved")  # the run has all that it needs
    exported = fmx("export", "--int8", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    from fmx_runtime import Classifier

    classifier = Classifier(tmp_path / "exports/photo/photo.int8.tflite")
    for name in COLORS:
        image = tmp_path / "moved/train" / name / "0.png"
        assert classifier.classify(image)[0].label == name


@pytest.mark.slow
def test_from_a_folder_to_a_report(fmx: Callable[..., Completed], tmp_path: Path) -> None:
    """After training and export, bench needs no option that describes the images."""
    write_images(tmp_path / "fruit/train")
    for words in (
        ["train", "--data", "fruit", "--image-size", 16, "--epochs", 1],
        ["export", "--int8", "--max-accuracy-drop", 100],
        ["bench", "--repeats", 2, "--iterations", 20],
    ):
        done = fmx(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "reports/photo/result.json").read_text("utf-8"))
    assert result["class_names"] == list(COLORS)
    assert result["data"] == "fruit test"


def test_resume_without_the_images(fmx: Callable[..., Completed], tmp_path: Path) -> None:
    """The run folder holds all that --resume needs; options of the run cannot be repeated."""
    write_images(tmp_path / "fruit", 20)
    words = ["train", "--data", "fruit", "--image-size", 16, "--epochs", 2, "-o", "mine"]
    assert fmx(*words, cwd=tmp_path).returncode == 0
    (tmp_path / "mine/metrics.json").unlink()
    (tmp_path / "fruit").rename(tmp_path / "moved")
    done = fmx("train", "--resume", "-o", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    refused = fmx("train", "--resume", "-o", "mine", "--image-size", 16, cwd=tmp_path)
    assert refused.returncode == 1


@pytest.mark.slow
def test_backbone_with_weights_from_a_file(fmx: Callable[..., Completed], tmp_path: Path) -> None:
    """A network of keras.applications is trained on the images, with its own input range."""
    write_images(tmp_path / "fruit", 20)
    body = keras.applications.MobileNet(include_top=False, input_shape=(32, 32, 3), weights=None)
    body.save_weights(tmp_path / "mine.weights.h5")
    words = ["--backbone", "MobileNet", "--weights", "mine.weights.h5", "--image-size", 32]
    done = fmx("train", "--data", "fruit", *words, "--epochs", 1, "-o", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "training MobileNet, 1 epochs" in done.stderr
    info = runs.open_run(tmp_path / "mine").info
    assert info.recipe.name == "finetune"
    assert info.input.offset == -1
    model = keras.models.load_model(tmp_path / "mine/model.keras", compile=False)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "fruit", "--photos", "fruit"], "--data is for your own images, --photos for"),
        (["--data", "fruit", "--data-dir", "fruit"], "--data is for your own images, --data-dir"),
        (["--image-size", "32"], "--image-size needs --data"),
        (["--backbone", "MobileNet"], "--backbone needs --data"),
        (["--data", "fruit", "--weights", "none"], "--weights needs --backbone"),
        (["--data", "fruit", "--image-size", "4000"], "--image-size 4000 is more than 512 pixels"),
        (["--data", "fruit", "--backbone", "Net"], "no backbone 'Net'; choose MobileNet"),
        (["--data", "fruit", "--recipe", "finetune"], "recipe 'finetune' needs --backbone"),
        (["--data", "gone"], "'gone' does not exist; give a folder"),
        (["--data", "one"], "'one' has one class only, 'cherry'"),
        (["--data", "empty"], "'empty': class 'void' has 0 usable images"),
        (["--data", "dots"], "'dots': 8 of 8 images cannot be used, more than 5%"),
        (["--photos", "gone"], "'gone' (photos) has none of the folders dress"),
        (["--teacher", "gone"], "'gone' holds no training run"),
    ],
)
def test_option_errors(
    words: list[str], message: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """Each wrong option gives one line of error, and no run folder is created."""
    write_images(tmp_path / "fruit", 6)
    write_images(tmp_path / "empty", 12)
    (tmp_path / "empty/void").mkdir()
    (tmp_path / "one/cherry").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(tmp_path / "one/cherry/0.png")
    for name in "ab":
        (tmp_path / "dots" / name).mkdir(parents=True)
        for index in range(4):
            color = (index, ord(name), 0)
            Image.new("RGB", (1, 1), color).save(tmp_path / f"dots/{name}/{index}.png")
    done = fmx_in_process("train", *words)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"fmx: {message}"), done.stderr
    assert not (tmp_path / "runs").exists()
