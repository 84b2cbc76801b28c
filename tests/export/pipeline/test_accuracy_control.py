"""The accuracy gate, with a network that int8 spoils, in both real runtimes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.common.calibration import CalibrationSet
from fmx_export.common.layer_errors import sort_by_error
from fmx_export.common.quantization_config import METHODS
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.quantizer import OnnxQuantizer
from fmx_export.pipeline import export
from fmx_export.pipeline.accuracy_control import MAX_ACCURACY_DROP, drop
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_export.pipeline.manifest import Manifest
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantizer import TFLiteQuantizer
from fmx_runtime.classifier import Classifier
from fmx_runtime.model_file.metadata import Accuracy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.common.graph import Operator
    from fmx_export.common.quantizer import Quantizer
    from fmx_export.pipeline.manifest import Attempt, ExportedFile, Refused
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

ALL_IS_TOO_MUCH = -1.0
"""A drop that nothing keeps to: it asks for a whole 100 points more than Keras has."""


@dataclass(frozen=True)
class Unlabeled:
    """Images of which nobody knows what they show."""

    name: str
    images: NDArray[np.uint8]
    labels: None = None


@pytest.fixture(scope="session")
def sample(few: Splits) -> CalibrationSet:
    """100 real training images."""
    return CalibrationSet(few.train.images[:100], few.train.name, 0)


@pytest.fixture(scope="session")
def folder(
    badly_scaled: SourceModel,
    few: Splits,
    sample: CalibrationSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An export of the network that int8 spoils."""
    folder = tmp_path_factory.mktemp("gate") / "export"
    export.export(
        badly_scaled,
        formats=(*FLOAT32, *INT8),
        calibration=sample,
        held_out=few.validation,
        folder=folder,
        progress=lambda _: None,
    )
    return folder


@pytest.fixture(scope="session")
def refused(
    folder: Path,
    badly_scaled: SourceModel,
    few: Splits,
    sample: CalibrationSet,
) -> tuple[Path, list[str]]:
    """That folder after another export into it, in which no int8 file was good enough; the steps.

    The steps are the lines of progress.
    """
    copy = folder.with_name("refused")
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    steps: list[str] = []
    export.export(
        badly_scaled,
        formats=(*FLOAT32, *INT8),
        calibration=sample,
        held_out=few.validation,
        folder=copy,
        progress=steps.append,
        max_accuracy_drop=ALL_IS_TOO_MUCH,
    )
    return copy, steps


@pytest.fixture(params=INT8, ids=str)
def form(request: pytest.FixtureRequest) -> Format:
    """Each int8 format in its turn."""
    form: Format = request.param
    return form


def quantizer(form: Format, source: SourceModel, images: NDArray[np.uint8]) -> Quantizer:
    """As an export makes it."""
    model, spec = source.model, source.spec
    if form is Format.TFLITE_INT8:
        return TFLiteQuantizer(model, export_tflite(model, spec=spec), spec, images)
    float_model = export_onnx(model, spec=spec)
    return OnnxQuantizer(float_model, spec, images, export.this_processor())


def published(folder: Path, form: Format) -> ExportedFile:
    """What the manifest says of a file that is there."""
    (file,) = (
        file
        for file in Manifest.read(folder).files
        if (file.format, file.precision) == (form.model_format, form.precision)
    )
    return file


def left_out(folder: Path, form: Format) -> Refused:
    """What the manifest says of a file that is not there."""
    ending = form.file_name("")
    (file,) = (file for file in Manifest.read(folder).refused if file.file.endswith(ending))
    return file


def multiplying(path: Path) -> tuple[Operator, ...]:
    """The operators of a file that have weights to multiply with."""
    operators = read_graph(path.read_bytes()).operators
    return tuple(node for node in operators if node.multiply_accumulates)


def expected_layers(form: Format, source: SourceModel, images: NDArray[np.uint8]) -> list[set[str]]:
    """The one, two, four and eight worst layers, with those that have to follow them."""
    worst = sort_by_error(quantizer(form, source, images).layer_errors())
    return [
        {layer for error in worst[:count] for layer in error.exclude}
        for count in (1, 2, 4, 8)
    ]


def with_best_calibration(attempts: tuple[Attempt, ...]) -> list[set[str]]:
    """The float layers of the later attempts, once the order of all of them was checked."""
    plain, later = attempts[: len(METHODS)], attempts[len(METHODS) :]
    assert tuple(attempt.calibration for attempt in plain) == METHODS
    assert not any(attempt.excluded_layers for attempt in plain)
    best = max(plain, key=lambda attempt: attempt.accuracy.file or 0)
    assert {attempt.calibration for attempt in later} == {best.calibration}
    return [set(attempt.excluded_layers) for attempt in later]


def test_plain_int8_would_lose_it(form: Format, folder: Path) -> None:
    """With min-max ranges the network loses more than ten points, with the others too many."""
    plain = published(folder, form).attempts[: len(METHODS)]
    assert drop(plain[0].accuracy) > 0.1
    assert all(drop(attempt.accuracy) > MAX_ACCURACY_DROP for attempt in plain)


def test_the_gate_finds_what_to_keep_in_float(
    form: Format, folder: Path, badly_scaled: SourceModel, sample: CalibrationSet
) -> None:
    """After all calibrations the worst layers are kept in float, and the file keeps the limit."""
    file = published(folder, form)
    *before, last = file.attempts
    assert [attempt.passed for attempt in file.attempts] == [False] * len(before) + [True]
    assert file.accuracy == last.accuracy
    assert drop(file.accuracy) <= MAX_ACCURACY_DROP
    found = with_best_calibration(file.attempts)
    assert found == expected_layers(form, badly_scaled, sample.images)[: len(found)]
    assert len(found) > 0


def test_the_file_is_what_the_manifest_says(
    form: Format, folder: Path, few: Splits, badly_scaled: SourceModel
) -> None:
    """Exactly those layers compute in float, its metadata says so, and its accuracy is counted."""
    file = published(folder, form)
    path, last = folder / file.file, file.attempts[-1]
    metadata = Classifier(path).metadata
    assert metadata.quantization is not None
    assert metadata.quantization.excluded_layers == last.excluded_layers
    assert metadata.quantization.calibration == last.calibration
    assert metadata.accuracy == file.accuracy
    in_float = {
        node.output.name if form is Format.TFLITE_INT8 else node.name
        for node in multiplying(path)
        if node.is_float
    }
    assert {name.rstrip(";") for name in in_float} == {
        name.rstrip(";") for name in last.excluded_layers
    }
    assert any(not node.is_float for node in multiplying(path))
    assert set(file.float_operators) >= {node.type for node in multiplying(path) if node.is_float}
    answers = Classifier(path).predict(few.validation.images)
    assert file.accuracy.file == np.mean(answers.argmax(axis=1) == few.validation.labels)
    assert metadata.labels == badly_scaled.labels


def test_nothing_is_good_enough(form: Format, refused: tuple[Path, list[str]]) -> None:
    """The int8 file is left out, that of an earlier export goes, and the manifest tells all."""
    folder, _ = refused
    manifest = Manifest.read(folder)
    assert [file.precision for file in manifest.files] == ["float32", "float32"]
    assert {path.name for path in folder.iterdir()} == {*manifest.names, "manifest.json"}
    assert len(manifest.names) == 2
    said = left_out(folder, form)
    assert not any(attempt.passed for attempt in said.attempts)
    least = min(drop(attempt.accuracy) for attempt in said.attempts)
    assert said.reason.startswith(f"loses {100 * least:.2f} points of accuracy, more than -100")
    assert with_best_calibration(said.attempts)


def test_progress_tells_of_each_try(form: Format, refused: tuple[Path, list[str]]) -> None:
    """One line for each attempt of the manifest, in its order."""
    folder, steps = refused
    name = form.file_name("badly-scaled")
    tries = [step for step in steps if step.startswith(f"{name}: int8 with")]
    attempts = left_out(folder, form).attempts
    assert len(attempts) > len(METHODS)
    for step, attempt in zip(tries, attempts, strict=False):
        kept = len(attempt.excluded_layers)
        ending = f", {kept} layers in float" if kept else ""
        assert step == f"{name}: int8 with {attempt.calibration} ranges{ending}"
    assert f"{name}: looking for the layers that lose most" in steps


def test_never_all_in_float(form: Format, refused: tuple[Path, list[str]]) -> None:
    """Of the five layers that multiply, the four worst and their readers are all: not tried."""
    folder, _ = refused
    assert len(with_best_calibration(left_out(folder, form).attempts)) == 2
    assert len(multiplying(folder / form.file_name("badly-scaled").replace("int8", "float32"))) == 5


def test_one_two_four_eight_layers(
    source: SourceModel, few: Splits, sample: CalibrationSet, tmp_path: Path
) -> None:
    """A deep network gets its one, two, four, eight worst layers in float, and no more.

    Nobody knows the images' labels: what a file loses is how often it answers otherwise.
    """
    keras.utils.set_random_seed(0)
    convolutions = [layers.Conv2D(4, 1, activation="relu") for _ in range(14)]
    ends = layers.AveragePooling2D(7), layers.Flatten(), layers.Dense(10, "softmax")
    model = keras.Sequential([keras.Input((28, 28, 1)), ends[0], *convolutions, *ends[1:]])
    deep = dataclasses.replace(source, model=model, name="deep")
    small = dataclasses.replace(sample, images=sample.images[:20])
    manifest = export.export(
        deep,
        formats=(Format.TFLITE_INT8,),
        calibration=small,
        held_out=Unlabeled("my images", few.validation.images[:50]),
        folder=tmp_path,
        progress=lambda _: None,
        max_accuracy_drop=ALL_IS_TOO_MUCH,
    )
    (said,) = manifest.refused
    assert {(each.accuracy.keras, each.accuracy.file) for each in said.attempts} == {(None, None)}
    plain, later = said.attempts[:3], said.attempts[3:]
    assert tuple(attempt.calibration for attempt in plain) == METHODS
    best = max(plain, key=lambda attempt: attempt.accuracy.agreement)
    assert {attempt.calibration for attempt in later} == {best.calibration}
    expected = expected_layers(Format.TFLITE_INT8, deep, small.images)
    assert [set(attempt.excluded_layers) for attempt in later] == expected
    least = min(1 - attempt.accuracy.agreement for attempt in said.attempts)
    assert said.reason.startswith(f"loses {100 * least:.2f} points")


@pytest.mark.parametrize("good_enough", [True, False])
def test_images_without_labels(
    good_enough: bool, source: SourceModel, few: Splits, sample: CalibrationSet, tmp_path: Path
) -> None:
    """The real small model passes by its agreement with Keras, just so, or not at all."""
    images = Unlabeled("my images", few.validation.images)
    options: dict[str, Any] = {
        "formats": (Format.TFLITE_FLOAT32, Format.TFLITE_DYNAMIC),
        "calibration": sample,
        "held_out": images,
        "folder": tmp_path,
        "progress": lambda _: None,
    }
    first = export.export(source, **options, max_accuracy_drop=1.0).files[1].accuracy
    assert (first.keras, first.file, first.data) == (None, None, "my images")
    expected = Classifier(tmp_path / "baseline.float32.tflite").predict(images.images)
    found = Classifier(tmp_path / "baseline.dynamic.tflite").predict(images.images)
    assert first.agreement == np.mean(expected.argmax(axis=1) == found.argmax(axis=1))
    just_so = drop(first)
    assert just_so == pytest.approx(1 - first.agreement)
    limit = just_so if good_enough else just_so - 1e-6
    manifest = export.export(source, **options, max_accuracy_drop=limit)
    assert len(manifest.files) == 1 + good_enough
    assert (tmp_path / "baseline.dynamic.tflite").exists() == good_enough


def test_layers_that_cannot_be_compared(
    source: SourceModel, few: Splits, sample: CalibrationSet, tmp_path: Path
) -> None:
    """Where there is no layer to keep in float, the manifest still tells what was tried."""
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.MaxPooling2D((14, 7)), layers.Flatten()]
    )
    model.add(layers.Softmax())
    manifest = export.export(
        dataclasses.replace(source, model=model, labels=source.labels[:8]),
        formats=(Format.ONNX_INT8,),
        calibration=sample,
        held_out=Unlabeled("my images", few.validation.images),
        folder=tmp_path,
        progress=(steps := []).append,
        max_accuracy_drop=ALL_IS_TOO_MUCH,
        debug=True,
    )
    (said,) = manifest.refused
    assert tuple(attempt.calibration for attempt in said.attempts) == METHODS
    assert any("no layers are kept in float: cannot compare the layers" in step for step in steps)
    assert not manifest.reports


@pytest.mark.parametrize("size", [200, 400, 1000, 5000])
def test_the_limit_itself_is_allowed(size: int) -> None:
    """Half a percent of the images may be lost, and not one more, however fractions round."""
    allowed = size // 200
    for keras_right in range(allowed + 1, size + 1):
        losses = [
            drop(
                Accuracy(
                    keras=keras_right / size,
                    file=(keras_right - lost) / size,
                    agreement=0.5,
                    data="",
                    size=size,
                )
            )
            for lost in (allowed, allowed + 1)
        ]
        assert losses[0] <= MAX_ACCURACY_DROP < losses[1]
