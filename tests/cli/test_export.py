"""``fmx export``."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from fmx_export.pipeline import provenance
from fmx_runtime.classifier import Classifier, softmax
from fmx_runtime.images.preprocess import to_pixels
from fmx_training import run_folder as runs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from fmx_training.data.dataset import Splits
    from fmx_training.run_folder import Run

    Completed = subprocess.CompletedProcess[str]

FLOATS = ["baseline.float32.onnx", "baseline.float32.tflite"]
PROGRESS = r"exporting|asking|converting|without --calibration|\d+ of the images calibrate"
INT8 = ["baseline.int8.onnx", "baseline.int8.tflite"]


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_error(done: Completed, message: str) -> None:
    """The command failed with one line of its own, besides its progress, and without results."""
    assert done.returncode in {1, 3}
    assert not done.stdout
    *progress, last = done.stderr.splitlines()
    assert last.startswith(f"fmx: {message}")
    assert all(re.match(PROGRESS, line) for line in progress)


@pytest.fixture(scope="session")
def newest(
    trained: tuple[Path, Completed], fmx: Callable[..., Completed]
) -> tuple[Path, Completed]:
    """The export folder of ``fmx export --int8``, run where the training ran, and its words."""
    return trained[0] / "exports/baseline", fmx("export", "--int8", cwd=trained[0])


@pytest.fixture
def earlier(newest: tuple[Path, Completed], tmp_path: Path) -> Path:
    """An earlier export, in the place where the next one goes by default."""
    return shutil.copytree(newest[0], tmp_path / "exports/baseline")


@pytest.fixture
def copied(run_folder: Path, tmp_path: Path) -> Path:
    """The finished run as runs/mine in the working folder."""
    return shutil.copytree(run_folder, tmp_path / "runs/mine")


def test_the_newest_run(newest: tuple[Path, Completed], run_folder: Path) -> None:
    """Without a name the newest run in runs/ is exported, to exports/RECIPE."""
    folder, done = newest
    assert done.returncode == 0
    assert sorted(contents(folder)) == sorted([*FLOATS, *INT8, "manifest.json"])
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (folder / manifest["keras_model"]).samefile(run_folder / "model.keras")
    assert manifest["provenance"]["versions"] == provenance.versions()
    for file in manifest["files"]:
        content = (folder / file["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_results_and_progress(newest: tuple[Path, Completed]) -> None:
    """A row for each file on stdout, a line for each step, and no chatter, on stderr."""
    done = newest[1]
    manifest = json.loads((newest[0] / "manifest.json").read_text("utf-8"))
    accuracy = manifest["files"][0]["accuracy"]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith("on 5,000 images of fashion-mnist validation; Keras ")
    for file in manifest["files"]:
        size = f"{file['size_bytes'] / 1000:,.0f}"
        said = (f"{file['accuracy'][name]:.2%}" for name in ("file", "agreement"))
        row = next(row for row in rows if row[:1] == [file["file"]])
        assert row[1:4] == [size, *said]
        assert ("x" in row[-1]) == (file["precision"] == "int8")
        assert file["accuracy"]["file"] > accuracy["keras"] - 0.005
    assert done.stdout.splitlines()[-1] == "exports/baseline holds these files and manifest.json"
    first, *steps = done.stderr.splitlines()
    assert first.startswith("exporting runs/baseline-20")
    assert len(steps) == 7


def test_calibration_is_from_the_training_images(
    newest: tuple[Path, Completed], splits: Splits
) -> None:
    """500 training images set the ranges, and 5,000 others were asked about, says the metadata."""
    metadata = Classifier(newest[0] / INT8[0]).metadata
    assert metadata.quantization is not None
    assert metadata.accuracy is not None
    assert (metadata.quantization.size, metadata.quantization.split) == (500, splits.train.name)
    assert (metadata.accuracy.size, metadata.accuracy.data) == (5000, splits.validation.name)


@pytest.mark.parametrize("name", ["runs/mine", "runs/mine/model.keras"])
def test_a_named_run(
    name: str,
    fmx_in_process: Callable[..., Completed],
    copied: Path,
    newest: tuple[Path, Completed],
    tmp_path: Path,
) -> None:
    """A run folder, or the model.keras in it, is exported to -o; without --int8 as float files."""
    done = fmx_in_process("export", name, "-o", "out")
    assert done.returncode == 0
    files = contents(tmp_path / "out")
    assert sorted(files) == [*FLOATS, "manifest.json"]
    manifest = json.loads(files["manifest.json"])
    assert (tmp_path / "out" / manifest["keras_model"]).samefile(copied / "model.keras")
    digests = {file["file"]: file["sha256"] for file in manifest["files"]}
    assert sorted(digests) == FLOATS
    assert Classifier(newest[0] / FLOATS[0]).metadata.model_sha256 == (
        Classifier(tmp_path / "out" / FLOATS[0]).metadata.model_sha256
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "'nowhere' does not exist; give a run folder"),
        ("runs", "'runs' holds no training run (no run.json)"),
        ("notes.txt", "'notes.txt' is no Keras model, or was cut short"),
        ("runs/mine/history.json", "'runs/mine/history.json' is no Keras model"),
        (
            "runs/mine/checkpoint/epoch-001.keras",
            "'runs/mine/checkpoint/epoch-001.keras' does not state its input range",
        ),
        ("", "'.' holds no training run"),
    ],
)
@pytest.mark.usefixtures("copied")
def test_what_is_no_run(
    name: str, message: str, fmx_in_process: Callable[..., Completed], earlier: Path, tmp_path: Path
) -> None:
    """A path to something else is said in one line, and the earlier export stays."""
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    before = contents(earlier)
    assert_error(fmx_in_process("export", name), message)
    assert contents(tmp_path / "exports") == {f"baseline/{n}": c for n, c in before.items()}


def test_no_run_at_all(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """Where nothing was trained yet, the command that does is named; nothing is made."""
    assert_error(
        fmx_in_process("export"), "no finished training run in 'runs'; 'fmx train' creates one"
    )
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run(
    fmx_in_process: Callable[..., Completed], begin: Callable[..., Run], tmp_path: Path
) -> None:
    """A run that was stopped is not exported: how to go on with it is said."""
    begin(tmp_path / "runs/mine")
    assert_error(
        fmx_in_process("export", "runs/mine"),
        "'runs/mine' is not trained to the end: 'fmx train --resume -o runs/mine'",
    )
    assert_error(fmx_in_process("export"), "no finished training run in 'runs'")


def _without_settings(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", weights)


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("hello", "utf-8"), "is no Keras model, or was cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is no Keras model, or was cut"),
        (lambda path: path.unlink(), "is missing; train again"),
        (_without_settings, "is not a readable Keras model: "),
        (_flip_a_byte, "is not a readable Keras model: Bad CRC-32"),
    ],
    ids=["text", "cut", "gone", "no settings", "one byte"],
)
def test_a_damaged_model(
    damage: Callable[[Path], None],
    message: str,
    fmx_in_process: Callable[..., Completed],
    copied: Path,
    earlier: Path,
) -> None:
    """A model.keras that cannot be read is named with the reason, and the earlier export stays."""
    damage(copied / "model.keras")
    before = contents(earlier)
    assert_error(
        fmx_in_process("export", "runs/mine", "--int8"), f"'runs/mine/model.keras' {message}"
    )
    assert contents(earlier) == before


def test_other_labels_than_the_model_has(
    fmx_in_process: Callable[..., Completed], copied: Path
) -> None:
    """A run whose labels were edited to be fewer is refused: classes and labels must match."""
    path = runs.open_run(copied).folder / "run.json"
    info = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**info, "labels": info["labels"][1:]}), "utf-8")
    assert_error(
        fmx_in_process("export"), "'runs/mine/model.keras': input and output are stated as"
    )


def test_other_data(
    fmx_in_process: Callable[..., Completed], finished: Run, tmp_path: Path
) -> None:
    """A run that was trained on other images is not calibrated and judged with these."""
    shutil.copytree(finished.folder, tmp_path / "runs/mine")
    assert_error(
        fmx_in_process("export"),
        "'runs/mine' was started with other training data than fashion-mnist",
    )


@pytest.mark.parametrize("output", ["file", "file/out"])
@pytest.mark.usefixtures("copied")
def test_an_output_that_cannot_be_a_folder(
    output: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """A regular file where the folder or its parent must be is said, and stays."""
    (tmp_path / "file").write_text("mine", "utf-8")
    assert_error(fmx_in_process("export", "-o", output), f"cannot write to '{output}': ")
    assert (tmp_path / "file").read_text("utf-8") == "mine"


@pytest.mark.usefixtures("copied")
def test_without_data(fmx_in_process: Callable[..., Completed]) -> None:
    """Data that are not where they should be are said in one line."""
    assert_error(
        fmx_in_process("export", "--data-dir", "gone"), "'gone' (--data-dir) does not exist"
    )


PHOTOS = Path(__file__).parents[3] / "shared/photos/validation"

MODULE = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("tests")
class Net(keras.Model):
    def __init__(self, classes=10, **more):
        super().__init__(**more)
        self.classes = classes
        self.convolution = layers.Conv2D(4, 3, strides=2, activation="relu")
        self.answer = layers.Dense(classes)

    def call(self, image):
        return self.answer(layers.Flatten()(self.convolution(image)))
"""


def gray_network() -> Any:
    """Gray, 28x28, logits, and pixels from -1 to 1."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def attentive_network() -> Any:
    """RGB, 40x48, a Rescaling, batch norm, swish, depthwise, squeeze and excitation, softmax."""
    image = keras.Input((40, 48, 3))
    tensor = layers.Rescaling(1 / 127.5, -1)(image)
    tensor = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(tensor)
    tensor = layers.Activation("swish")(layers.BatchNormalization()(tensor))
    tensor = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(tensor)
    tensor = layers.Activation("swish")(layers.BatchNormalization()(tensor))
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(tensor)
    excited = layers.Conv2D(8, 1, activation="sigmoid")(
        layers.Conv2D(4, 1, activation="swish")(squeezed)
    )
    tensor = layers.Flatten()(layers.Multiply()([tensor, excited]))
    return keras.Model(image, layers.Dense(10, activation="softmax")(tensor))


def grouped_network() -> Any:
    """RGB, 24x20, a Rescaling, and a convolution in four groups."""
    return keras.Sequential(
        [
            keras.Input((24, 20, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(8, 3, groups=4, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


@pytest.fixture(scope="session")
def gray(few: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a really trained gray network, images and labels for it."""
    folder = tmp_path_factory.mktemp("gray")
    keras.utils.set_random_seed(1)
    model = gray_network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    model.fit(few.train.images / np.float32(127.5) - 1, few.train.labels, epochs=5, verbose=0)
    model.save(folder / "net.keras")
    images, labels = few.validation.images, few.validation.labels
    np.savez(folder / "labeled.npz", images=images[..., 0], labels=labels)
    np.savez(folder / "unlabeled.npz", images=images)
    lines = "\r\n".join((*few.validation.class_names, "", ""))
    (folder / "labels.txt").write_bytes(lines.encode("utf-8-sig"))
    return folder


@pytest.fixture
def working(gray: Path, tmp_path: Path) -> Path:
    """The same, in the working folder."""
    return shutil.copytree(gray, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def classes(few: Splits, tmp_path: Path) -> Path:
    """Four real images of each class, as PNG files in folders of their classes' numbers."""
    for label in range(10):
        folder = tmp_path / "images" / f"number {label}"
        folder.mkdir(parents=True)
        for index, image in enumerate(few.test.images[few.test.labels == label][:4]):
            Image.fromarray(image[..., 0]).save(folder / f"{index}.png")
    return tmp_path / "images"


def metadata_in(path: Path) -> Any:
    """What a model file says of itself."""
    return Classifier(path).metadata


def test_any_keras_model(
    working: Path, fmx_in_process: Callable[..., Completed], splits: Splits, few: Splits
) -> None:
    """A gray network with logits: int8 files that know labels, pixels and what calibrated them."""
    done = fmx_in_process(
        *("export", "net.keras", "--labels", "labels.txt", "--calibration", "labeled.npz"),
        *("--int8", "--calibration-size", 100),
    )
    assert done.returncode == 0
    assert done.stdout.startswith("on 400 images of labeled.npz")
    assert "100 of the images calibrate, 400 others are held out" in done.stderr
    assert "pixels -1..1 fit the labels of the calibration images best" in done.stderr
    names = [f"net.{kind}.{form}" for kind in ("float32", "int8") for form in ("onnx", "tflite")]
    assert sorted(contents(working / "exports/net")) == ["manifest.json", *names]
    images, labels = splits.test.images[:1000], splits.test.labels[:1000]
    for name in names:
        metadata = metadata_in(working / "exports/net" / name)
        assert metadata.labels == few.validation.class_names
        assert (metadata.input.scale, metadata.input.offset) == (1 / 127.5, -1)
        assert (metadata.input.resize, metadata.input.polarity) == ("stretch", "any")
        assert (metadata.provenance.recipe, metadata.provenance.data) == ("unknown", "labeled.npz")
        answers = Classifier(working / "exports/net" / name).predict(images)
        assert np.mean(answers.argmax(axis=1) == labels) > 0.7
    quantization = metadata_in(working / "exports/net/net.int8.tflite").quantization
    assert (quantization.size, quantization.seed) == (100, 0)


@pytest.mark.parametrize(
    ("build", "rescaling"),
    [(attentive_network, (1 / 127.5, -1)), (grouped_network, (1 / 255, 0))],
    ids=["attention", "groups"],
)
def test_a_network_that_rescales(
    build: Callable[[], Any],
    rescaling: tuple[float, float],
    classes: Path,
    fmx_in_process: Callable[..., Completed],
    tmp_path: Path,
) -> None:
    """Its Rescaling goes into the metadata, and both files answer as the whole network does."""
    model = build()
    model.save(tmp_path / "net.keras")
    done = fmx_in_process("export", "net.keras", "--calibration", "images")
    assert done.returncode == 0
    assert "pixels 0..255: the network rescales them itself" in done.stderr
    for name in ("net.float32.onnx", "net.float32.tflite"):
        classifier = Classifier(tmp_path / "exports/net" / name)
        metadata = classifier.metadata
        assert metadata.labels == tuple(f"number {label}" for label in range(10))
        assert (metadata.input.scale, metadata.input.offset) == pytest.approx(rescaling)
        images = np.stack(
            [to_pixels(file, metadata.input) for file in sorted(classes.rglob("*.png"))]
        )
        expected = model.predict(images.astype(np.float32), verbose=0)
        assert np.abs(classifier.predict(images) - expected).max() < 1e-4


def test_a_class_of_ones_own(
    working: Path, fmx_in_process: Callable[..., Completed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registered subclassed model is exported with --allow-code, and refused without."""
    (working / "nets_of_my_own.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(str(working))
    net = __import__("nets_of_my_own").Net
    model = net()
    with np.load(working / "unlabeled.npz") as file:
        images = file["images"][:50]
    expected = softmax(model.predict(images / np.float32(255), verbose=0))
    model.save(working / "mine.keras")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Net")
    monkeypatch.delitem(sys.modules, "nets_of_my_own")
    words = ("export", "mine.keras", "--calibration", "unlabeled.npz", "--input-range", "0..1")
    assert_error(
        fmx_in_process(*words), "'mine.keras' needs nets_of_my_own.Net, which is not part of Keras"
    )
    done = fmx_in_process(*words, "--allow-code")
    assert done.returncode == 0
    assert "no labels known" in done.stdout
    classifier = Classifier(working / "exports/mine/mine.float32.tflite")
    assert classifier.metadata.labels[9] == "class-9"
    assert np.abs(classifier.predict(images) - expected).max() < 1e-4


def test_without_images(working: Path, fmx_in_process: Callable[..., Completed]) -> None:
    """Float files need no images: random ones show that they compute what Keras does."""
    done = fmx_in_process("export", "net.keras", "--input-range", "-1..1", "-o", "out")
    assert done.returncode == 0
    assert "compared with Keras on 64 random images, which tells nothing about" in done.stderr
    assert metadata_in(working / "out/net.float32.onnx").accuracy.agreement == 1


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photos are not here")
def test_photos(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """Real photos in folders of their classes calibrate and check a network for them."""
    for folder in PHOTOS.iterdir():
        shutil.copytree(
            folder, tmp_path / "photos" / folder.name, ignore=lambda _, names: sorted(names)[4:]
        )
    attentive_network().save(tmp_path / "net.keras")
    done = fmx_in_process("export", "net.keras", "--calibration", "photos")
    assert done.returncode == 0
    assert "20 of the images calibrate, 20 others are held out" in done.stderr
    metadata = metadata_in(tmp_path / "exports/net/net.float32.tflite")
    assert metadata.labels == tuple(sorted(folder.name for folder in PHOTOS.iterdir()))


LABELLED = ("--calibration", "labeled.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("net.keras", "--int8"), "tflite-int8 needs --calibration: a folder or an .npz file"),
        (
            ("net.keras",),
            "'net.keras' does not state its input range; add --input-range",
        ),
        (
            ("net.keras", "--calibration", "unlabeled.npz"),
            "'net.keras' does not state its input range; add --input-range",
        ),
        (("net.keras", "--calibration", "gone"), "'gone' (images) does not exist"),
        (("net.keras", "--calibration", "labels.txt"), "'labels.txt' (images) is neither"),
        (("net.keras", "--calibration", "."), "'.' (images): no image in it"),
        (("net.keras", *LABELLED, "--labels", "gone"), "'gone' (labels) does not exist"),
        (
            ("net.keras", *LABELLED, "--labels", "two.txt"),
            "'two.txt' has 2 labels, 'net.keras' tells 10 classes apart",
        ),
        (("net.keras", "--data-dir", "."), "'net.keras' is no training run, and --data-dir is for"),
        (("labeled.npz",), "'labeled.npz' is not a readable Keras model: it is a ZIP"),
        ((".", "--labels", "labels.txt"), "a training run knows its labels, its images and its"),
        ((".", "--allow-code"), "a training run knows its labels, its images and its pixels: le"),
    ],
)
def test_mistakes(
    words: tuple[str, ...], message: str, working: Path, fmx_in_process: Callable[..., Completed]
) -> None:
    """What does not fit together is said in one line that names it, and no folder is made."""
    (working / "two.txt").write_text("one\ntwo\n", "utf-8")
    assert_error(fmx_in_process("export", *words), message)
    assert not (working / "exports").exists()


@pytest.mark.usefixtures("copied")
def test_more_calibration_images_than_there_are(fmx_in_process: Callable[..., Completed]) -> None:
    """A run has so many training images, and no more can calibrate."""
    assert_error(
        fmx_in_process("export", "--int8", "--calibration-size", 55001),
        "fashion-mnist train: a sample takes 1 to 55000 images; received 55001",
    )
