"""``fmx export`` of a Keras model that was not trained by fmx."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from fmx_runtime.classifier import Classifier, softmax
from fmx_runtime.images.preprocess import to_pixels

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from fmx_training.data.dataset import Splits

    Completed = subprocess.CompletedProcess[str]

PROGRESS = (
    r"exporting|running the Keras model|converting|without --calibration"
    r"|[\d,]+ (of the|training) images"
)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_error(done: Completed, message: str) -> None:
    """Check that the command printed this error after its progress, and no results."""
    assert done.returncode in {1, 3}
    assert not done.stdout
    *progress, last = done.stderr.splitlines()
    assert last.startswith(f"fmx: {message}")
    assert all(re.match(PROGRESS, line) for line in progress)


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
    """Return a network: gray, 28x28, logits, input range -1..1."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def attentive_network() -> Any:
    """Return a network: RGB, 40x48, rescaling, swish, squeeze and excitation, softmax."""
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
    """Return a network: RGB, 24x20, rescaling, a convolution in four groups."""
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
    """A folder with a trained gray network, images and labels."""
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
    """A copy of that folder's files in the working folder."""
    return shutil.copytree(gray, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def classes(few: Splits, tmp_path: Path) -> Path:
    """Four real images of each class, as PNG files in a folder per class."""
    for label in range(10):
        folder = tmp_path / "images" / f"number {label}"
        folder.mkdir(parents=True)
        for index, image in enumerate(few.test.images[few.test.labels == label][:4]):
            Image.fromarray(image[..., 0]).save(folder / f"{index}.png")
    return tmp_path / "images"


def metadata_of(path: Path) -> Any:
    """Return the model metadata of a file."""
    return Classifier(path).metadata


def test_keras_model(
    working: Path, fmx_in_process: Callable[..., Completed], splits: Splits, few: Splits
) -> None:
    """The int8 files of a gray network with logits know labels, input range and calibration."""
    done = fmx_in_process(
        *("export", "net.keras", "--labels", "labels.txt", "--calibration", "labeled.npz"),
        *("--int8", "--calibration-size", 100),
    )
    assert done.returncode == 0
    assert done.stdout.startswith("verified on 400 images of labeled.npz")
    assert "100 of the images are used for calibration, 400 others for validation" in done.stderr
    assert "input range -1..1 fits the labels of the calibration images best" in done.stderr
    names = [f"net.{kind}.{form}" for kind in ("float32", "int8") for form in ("onnx", "tflite")]
    assert sorted(contents(working / "exports/net")) == ["manifest.json", *names]
    images, labels = splits.test.images[:1000], splits.test.labels[:1000]
    for name in names:
        metadata = metadata_of(working / "exports/net" / name)
        assert metadata.labels == few.validation.class_names
        assert (metadata.input.scale, metadata.input.offset) == (1 / 127.5, -1)
        assert (metadata.input.resize, metadata.input.polarity) == ("stretch", "any")
        assert (metadata.provenance.recipe, metadata.provenance.data) == ("unknown", "labeled.npz")
        predictions = Classifier(working / "exports/net" / name).predict(images)
        assert np.mean(predictions.argmax(axis=1) == labels) > 0.7
    quantization = metadata_of(working / "exports/net/net.int8.tflite").quantization
    assert (quantization.size, quantization.seed) == (100, 0)


@pytest.mark.parametrize(
    ("build", "rescaling"),
    [(attentive_network, (1 / 127.5, -1)), (grouped_network, (1 / 255, 0))],
    ids=["attention", "groups"],
)
def test_rescaling_layer(
    build: Callable[[], Any],
    rescaling: tuple[float, float],
    classes: Path,
    fmx_in_process: Callable[..., Completed],
    tmp_path: Path,
) -> None:
    """The Rescaling moves into the metadata, and both files predict what the network does."""
    model = build()
    model.save(tmp_path / "net.keras")
    done = fmx_in_process("export", "net.keras", "--calibration", "images")
    assert done.returncode == 0
    assert "input range 0..255: the model rescales its input itself" in done.stderr
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


def test_custom_model_class(
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
    assert "no labels" in done.stdout
    classifier = Classifier(working / "exports/mine/mine.float32.tflite")
    assert classifier.metadata.labels[9] == "class-9"
    assert np.abs(classifier.predict(images) - expected).max() < 1e-4


def test_without_images(working: Path, fmx_in_process: Callable[..., Completed]) -> None:
    """Float files are verified on random images if there are no others."""
    done = fmx_in_process("export", "net.keras", "--input-range", "-1..1", "-o", "out")
    assert done.returncode == 0
    assert "compared with Keras on 64 random images, which tells nothing about" in done.stderr
    assert metadata_of(working / "out/net.float32.onnx").accuracy.agreement == 1


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photos are not here")
def test_photos(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """Real photos in a folder per class serve for calibration and validation."""
    for folder in PHOTOS.iterdir():
        shutil.copytree(
            folder, tmp_path / "photos" / folder.name, ignore=lambda _, names: sorted(names)[4:]
        )
    attentive_network().save(tmp_path / "net.keras")
    done = fmx_in_process("export", "net.keras", "--calibration", "photos")
    assert done.returncode == 0
    assert "20 of the images are used for calibration, 20 others for validation" in done.stderr
    metadata = metadata_of(tmp_path / "exports/net/net.float32.tflite")
    assert metadata.labels == tuple(sorted(folder.name for folder in PHOTOS.iterdir()))


LABELED = ("--calibration", "labeled.npz")


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
        (
            ("net.keras", "--calibration", "gone"),
            "'gone' does not exist; give a folder or an .npz file",
        ),
        (("net.keras", "--calibration", "labels.txt"), "'labels.txt' cannot be read ("),
        (
            ("net.keras", "--calibration", "."),
            "'.' has no images; give a folder of images, or one folder",
        ),
        (("net.keras", *LABELED, "--labels", "gone"), "'gone' (labels) does not exist"),
        (
            ("net.keras", *LABELED, "--labels", "two.txt"),
            "'two.txt' has 2 labels, but the model 'net.keras' has 10 classes",
        ),
        (
            ("net.keras", "--data-dir", "."),
            "--data-dir applies to training runs, and 'net.keras' is not",
        ),
        (("labeled.npz",), "'labeled.npz' is not a readable Keras model: it is a ZIP"),
        ((".", "--labels", "labels.txt"), "--labels does not apply to a training run, which"),
        ((".", "--allow-code"), "--allow-code does not apply to a training run, which"),
    ],
)
def test_option_errors(
    words: tuple[str, ...], message: str, working: Path, fmx_in_process: Callable[..., Completed]
) -> None:
    """Options that do not fit give one line of error, and no folder is created."""
    (working / "two.txt").write_text("one\ntwo\n", "utf-8")
    assert_error(fmx_in_process("export", *words), message)
    assert not (working / "exports").exists()
