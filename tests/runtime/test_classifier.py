from __future__ import annotations

import dataclasses
import math
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_runtime import Classifier, FmxError, Prediction
from fmx_runtime.classifier import softmax
from fmx_runtime.errors import BackendError, ImageError, ModelFileError, PredictionError
from fmx_runtime.model_file.container import read_metadata
from fmx_runtime.model_file.metadata import ModelMetadata

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def metadata_of(path: Path) -> ModelMetadata:
    """The metadata of a file."""
    return ModelMetadata.from_json(read_metadata(path.read_bytes()))


def with_metadata(path: Path, **changes: object) -> bytes:
    """A file's model with other metadata, as a faulty exporter would write them."""
    metadata = metadata_of(path)
    model = path.read_bytes()[: metadata.model_bytes]
    return write_metadata(model, dataclasses.replace(metadata, **changes))


def refusal(path: Path) -> str:
    """The message of a file that is refused: one line with its path."""
    with pytest.raises(ModelFileError) as caught:
        Classifier(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", NAMES)
def test_a_file_alone_is_enough(
    name: str, exported: Path, images: Path, splits: Splits, tmp_path: Path
) -> None:
    """Each file, moved away from all others, classifies real images; labels fit the scores."""
    path = tmp_path / "renamed"
    path.write_bytes((exported / f"baseline.{name}").read_bytes())
    classifier = Classifier(path)
    assert classifier.metadata.labels == splits.train.class_names
    answer = classifier.classify(images / "00.png", top_k=10)
    scores = classifier.predict(splits.test.images[:1])[0]
    assert {item.label: item.score for item in answer} == dict(
        zip(classifier.metadata.labels, map(float, scores), strict=True)
    )
    assert [item.score for item in answer] == sorted(map(float, scores), reverse=True)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_above_chance(name: str, exported: Path, splits: Splits) -> None:
    """Each file is far more accurate on test images than chance."""
    scores = Classifier(exported / f"baseline.{name}").predict(splits.test.images[:150])
    assert (scores.dtype, scores.shape) == (np.float32, (150, 10))
    assert np.allclose(scores.sum(axis=1), 1, atol=0.05)
    assert np.mean(scores.argmax(axis=1) == splits.test.labels[:150]) > 0.5


def test_formats_agree(exported: Path, splits: Splits) -> None:
    """TFLite and ONNX agree on 150 images: float up to rounding, int8 in 98 % of the labels."""
    answers = {
        name: Classifier(exported / f"baseline.{name}").predict(splits.test.images[:150])
        for name in NAMES
    }
    assert np.abs(answers["float32.tflite"] - answers["float32.onnx"]).max() < 1e-4
    labels = [answers[f"int8.{form}"].argmax(axis=1) for form in ("tflite", "onnx")]
    assert np.mean(labels[0] == labels[1]) >= 0.98


@pytest.mark.parametrize("name", NAMES)
def test_number_of_threads_does_not_matter(name: str, exported: Path, splits: Splits) -> None:
    """Two threads give the scores of one; in float the order of a sum may differ."""
    one, two = (Classifier(exported / f"baseline.{name}", threads=n) for n in (1, 2))
    images = splits.test.images[:100]
    tolerance = 2e-6 if "float" in name else 2e-7  # int8 ONNX has a float softmax
    assert np.abs(one.predict(images) - two.predict(images)).max() <= tolerance


def test_predictions_do_not_depend_on_earlier_images(exported: Path, splits: Splits) -> None:
    """An image's scores do not depend on the images before it."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    images = splits.test.images[:20]
    assert np.array_equal(classifier.predict(images)[::-1], classifier.predict(images[::-1]))
    assert classifier.predict(images[:0]).shape == (0, 10)


def test_images_of_each_kind(exported: Path, images: Path) -> None:
    """A path, its text, a file's bytes, an image and an array get the same predictions."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    path = images / "03.png"
    image = Image.open(path)
    kinds = (path, str(path), path.read_bytes(), image, np.asarray(image))
    answers = {classifier.classify(kind) for kind in kinds}
    assert len(answers) == 1
    (answer,) = answers
    assert len(answer) == 3
    assert all(isinstance(item, Prediction) for item in answer)


def test_top_k(exported: Path, images: Path) -> None:
    """The first ``top_k`` labels are returned in order, or all of them if there are fewer."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    every = classifier.classify(images / "00.png", top_k=99)
    assert sorted(item.label for item in every) == sorted(classifier.metadata.labels)
    for top_k in range(1, 11):
        assert classifier.classify(images / "00.png", top_k) == every[:top_k]


@pytest.mark.parametrize("name", NAMES)
def test_threads_share_a_classifier(name: str, exported: Path, splits: Splits) -> None:
    """Eight threads that share a classifier each get the predictions of their own images."""
    classifier = Classifier(exported / f"baseline.{name}")
    images = splits.test.images[:60]
    alone = [classifier.classify(image, 10) for image in images]
    assert len(set(alone)) > 50
    order = list(range(60)) * 3
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda index: classifier.classify(images[index], 10), order))
    assert together == [alone[index] for index in order]


def test_batches(exported: Path, images: Path, splits: Splits) -> None:
    """A batch of images of any kinds returns the predictions of each, in order."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    paths = sorted(images.iterdir())
    mixed = [paths[0], str(paths[1]), paths[2].read_bytes(), splits.test.images[3]]
    assert classifier.classify_batch(mixed) == [classifier.classify(path) for path in paths[:4]]
    whole = classifier.classify_batch(splits.test.images[:4], 1)
    assert whole == [answer[:1] for answer in classifier.classify_batch(mixed)]
    assert classifier.classify_batch(iter(paths), 2) == [classifier.classify(x, 2) for x in paths]
    assert classifier.classify_batch([]) == []


def test_an_unreadable_image_in_a_batch(exported: Path, images: Path) -> None:
    """It ends the batch; the message has its index and its path."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    with pytest.raises(ImageError, match=r"^image 1: 'gone\.png' does not exist"):
        classifier.classify_batch([images / "00.png", "gone.png"])


def test_wrong_arguments(exported: Path, images: Path) -> None:
    """The message for a wrong argument has the received value."""
    path = exported / "baseline.int8.tflite"
    with pytest.raises(ValueError, match=r"threads=0"):
        Classifier(path, threads=0)
    classifier = Classifier(path)
    with pytest.raises(ValueError, match=r"top_k=0"):
        classifier.classify(images / "00.png", top_k=0)
    for wrong in (
        np.zeros((1, 28, 28, 1), np.float32),
        np.zeros((28, 28, 1), np.uint8),
        np.zeros((1, 1, 28, 28), np.uint8),
        np.zeros((2, 28, 28, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=rf"\(n, 28, 28, 1\).*{wrong.dtype}"):
            classifier.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"gone\.png' does not exist"):
        classifier.classify("gone.png")


def test_logits_become_probabilities(exported: Path, splits: Splits, tmp_path: Path) -> None:
    """Where the metadata state logits, the scores are their softmax."""
    plain = exported / "baseline.float32.onnx"
    path = tmp_path / "logits.onnx"
    path.write_bytes(with_metadata(plain, output="logits"))
    images = splits.test.images[:5]
    expected = softmax(Classifier(plain).predict(images))
    assert np.array_equal(Classifier(path).predict(images), expected)


@given(
    st.lists(
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3), min_size=1
    ).map(lambda rows: np.array(rows, np.float32))
)
def test_softmax(logits: np.ndarray) -> None:
    """For any logits, each row is probabilities that sum to 1, in the order of the logits."""
    rows = softmax(logits)
    assert rows.dtype == np.float32
    assert np.allclose(rows.sum(axis=1), 1, atol=1e-6)
    assert np.all(rows >= 0)
    best = rows[np.arange(len(rows)), logits.argmax(axis=1)]
    assert np.array_equal(best, rows.max(axis=1))


def test_softmax_to_the_last_bit() -> None:
    """The result is the float32 nearest to the exact value, on any processor."""
    logits = np.random.default_rng(0).normal(0, 5, (1000, 10)).astype(np.float32)
    exact = [[math.exp(value - max(row)) for value in row] for row in logits.tolist()]
    expected = [[value / math.fsum(row) for value in row] for row in exact]
    assert np.array_equal(softmax(logits), np.array(expected, np.float32))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0.001, 0.3, 0.6, 0.95])
def test_a_flipped_byte_of_the_model(
    name: str, place: float, exported: Path, tmp_path: Path
) -> None:
    """A model with one changed byte is refused by its checksum."""
    original = exported / f"baseline.{name}"
    content = bytearray(original.read_bytes())
    content[int(place * metadata_of(original).model_bytes)] ^= 0xFF
    path = tmp_path / original.name
    path.write_bytes(content)
    assert refusal(path).endswith(
        "was changed after it was exported (checksum differs); export again"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("word", [b"Sneaker", b'"uint8"', b'"float32"', b'"scale":0', b"fit"])
def test_a_flipped_byte_of_the_metadata(
    name: str, word: bytes, exported: Path, tmp_path: Path
) -> None:
    """Metadata with one changed byte, in a label or a number, are refused."""
    content = (exported / f"baseline.{name}").read_bytes()
    place = content.find(word, metadata_of(exported / f"baseline.{name}").model_bytes)
    if place < 0:
        assert word == (b'"float32"' if name.startswith("int8") else b'"uint8"')
        return
    flipped = bytearray(content)
    flipped[place + len(word) - 1] ^= 1
    path = tmp_path / f"flipped.{name}"
    path.write_bytes(flipped)
    assert "metadata" in refusal(path)


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_flipped_bits_do_not_change_predictions(
    name: str, exported: Path, splits: Splits, tmp_path: Path
) -> None:
    """A file with one random bit flipped is refused, or its predictions are unchanged."""
    content = (exported / f"baseline.{name}").read_bytes()
    images = splits.test.images[:3]
    expected = Classifier(exported / f"baseline.{name}").predict(images)
    chance = random.Random(0)
    path = tmp_path / "flipped"
    refused = 0
    for number in range(60):
        # every second one among the last bytes, where the metadata is
        start = len(content) - 4000 if number % 2 else 0
        flipped = bytearray(content)
        flipped[chance.randrange(start, len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            assert np.array_equal(Classifier(path).predict(images), expected)
        except FmxError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_cut_off(name: str, exported: Path, tmp_path: Path) -> None:
    """A file whose end is missing, as after an interrupted copy, is refused."""
    content = (exported / f"baseline.{name}").read_bytes()
    model_bytes = metadata_of(exported / f"baseline.{name}").model_bytes
    path = tmp_path / name
    for end in (9, 100, 4096, len(content) // 2, model_bytes, model_bytes + 1, len(content) - 1):
        path.write_bytes(content[:end])
        assert "metadata" in refusal(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_without_metadata(name: str, exported: Path, tmp_path: Path) -> None:
    """The message for a model without metadata says how to get one."""
    original = exported / f"baseline.{name}"
    path = tmp_path / name
    path.write_bytes(original.read_bytes()[: metadata_of(original).model_bytes])
    assert "has no model metadata" in refusal(path)
    assert "fmx export" in refusal(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Text, empty files, a folder and a missing file are refused with their path."""
    for name, content in (
        ("text.tflite", b"no model\n"),
        ("empty.tflite", b""),
        ("empty.onnx", b""),
        ("zeros.tflite", bytes(1000)),
    ):
        (tmp_path / name).write_bytes(content)
        assert "neither a TFLite nor an ONNX model" in refusal(tmp_path / name)
    (tmp_path / "text.onnx").write_text("\x08 looks like one\n", "utf-8")
    assert "metadata" in refusal(tmp_path / "text.onnx")
    assert "cannot be read: Is a directory" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "gone.tflite")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": tuple("abc")}, "number of classes: the metadata says 3, the model has 10"),
        ({"labels": ()}, "number of classes: the metadata says 0, the model has 10"),
        ({"width": 27}, r"the metadata says \(1, 28, 27, 1\), the model has \(1, 28, 28, 1\)"),
        ({"channels": 3}, r"input shape: the metadata says \(1, 28, 28, 3\)"),
        ({"dtype": None}, "the metadata says (uint8|float32), the model has (float32|uint8)"),
    ],
)
def test_metadata_of_another_model(
    name: str, changes: dict[str, object], message: str, exported: Path, tmp_path: Path
) -> None:
    """Metadata that do not fit the model are refused with both values."""
    original = exported / f"baseline.{name}"
    spec = metadata_of(original).input
    if "labels" not in changes:
        other = {"uint8": "float32", "float32": "uint8"}[spec.dtype]
        wanted = {key: value or other for key, value in changes.items()}
        changes = {"input": dataclasses.replace(spec, **wanted)}  # type: ignore[arg-type]
    path = tmp_path / name
    path.write_bytes(with_metadata(original, **changes))
    with pytest.raises(ModelFileError, match=message):
        Classifier(path)
    assert refusal(path).startswith(f"'{path}': ")


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_an_interpreter_for_the_other_format(name: str, exported: Path) -> None:
    """An interpreter for the other format is a BackendError with the file's path."""
    wrong = "onnxruntime" if name.endswith("tflite") else "ai-edge-litert"
    with pytest.raises(BackendError, match=rf"baseline\.{name}': {wrong} does not run"):
        Classifier(exported / f"baseline.{name}", backend=wrong)  # type: ignore[arg-type]


LOADED = """
import sys
from fmx_runtime import Classifier
Classifier(sys.argv[1]).classify(sys.argv[2])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_only_one_interpreter_is_loaded(name: str, exported: Path, images: Path) -> None:
    """Classifying needs NumPy, Pillow and one interpreter, and no package of the host."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, exported / f"baseline.{name}", images / "00.png"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    interpreters = {"ai_edge_litert", "onnxruntime", "tflite_runtime"}
    expected = {"ai_edge_litert" if name.endswith("tflite") else "onnxruntime"}
    assert loaded & interpreters == expected
    assert {"numpy", "PIL"} <= loaded
    forbidden = {"tensorflow", "keras", "onnx", "tf2onnx", "typer", "rich", "matplotlib", "scipy"}
    assert not loaded & forbidden
    assert not {name for name in loaded if name.startswith("fmx_")} - {"fmx_runtime"}


@pytest.mark.parametrize("top_k", [1, 2])
def test_scores_that_are_not_finite(top_k: int, nan_model: Path, tmp_path: Path) -> None:
    """A NaN among the scores is an error that names the image, whatever the top label is."""
    classifier = Classifier(nan_model, labels=["no", "yes"], input_range="0..255")
    Image.new("L", (9, 9), 255).save(tmp_path / "white.png")
    gray = np.full((8, 8), 100, np.uint8)
    assert classifier.classify(gray, top_k)[0] == ("yes", pytest.approx(0.8))
    with pytest.raises(PredictionError, match=r"white\.png' cannot be classified: the scores of"):
        classifier.classify(tmp_path / "white.png", top_k)
    with pytest.raises(PredictionError, match="image 1: the image cannot be classified"):
        classifier.classify_batch([gray, gray + 155], top_k)
