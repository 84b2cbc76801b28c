"""Accuracy control, with a network whose accuracy int8 destroys, in both real runtimes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.common.layer_errors import sort_by_error
from fmx_export.common.quantization_config import METHODS
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.quantizer import OnnxQuantizer
from fmx_export.pipeline import export
from fmx_export.pipeline.accuracy_control import MAX_ACCURACY_DROP, accuracy_drop
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_export.pipeline.manifest import Manifest
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantizer import TFLiteQuantizer
from fmx_runtime.classifier import Classifier
from fmx_runtime.model_file.metadata import Accuracy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.common.graph import Operator
    from fmx_export.common.quantizer import Quantizer
    from fmx_export.pipeline.manifest import Attempt, ExportedFile, RejectedFile
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

IMPOSSIBLE_DROP = -1.0
"""A limit that no file keeps: the accuracy would have to be 100 points above Keras'."""


@pytest.fixture(scope="session")
def folder(
    badly_scaled: SourceModel,
    few: Splits,
    calibration: CalibrationSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An export of the network whose accuracy int8 destroys."""
    folder = tmp_path_factory.mktemp("accuracy-control") / "export"
    export.export(
        badly_scaled,
        formats=(*FLOAT32, *INT8),
        calibration=calibration,
        validation=few.validation,
        folder=folder,
        progress=lambda _: None,
    )
    return folder


@pytest.fixture(scope="session")
def rejected(
    folder: Path,
    badly_scaled: SourceModel,
    few: Splits,
    calibration: CalibrationSet,
) -> tuple[Path, list[str]]:
    """A copy of that folder after a second export, which rejected all int8 files.

    Also the lines of progress.
    """
    copy = folder.with_name("rejected")
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    steps: list[str] = []
    export.export(
        badly_scaled,
        formats=(*FLOAT32, *INT8),
        calibration=calibration,
        validation=few.validation,
        folder=copy,
        progress=steps.append,
        max_accuracy_drop=IMPOSSIBLE_DROP,
    )
    return copy, steps


@pytest.fixture(params=INT8, ids=str)
def file_format(request: pytest.FixtureRequest) -> Format:
    """Each int8 format."""
    int8_format: Format = request.param
    return int8_format


def quantizer(file_format: Format, source: SourceModel, images: NDArray[np.uint8]) -> Quantizer:
    """The quantizer of an export."""
    model, spec = source.model, source.spec
    if file_format is Format.TFLITE_INT8:
        return TFLiteQuantizer(model, export_tflite(model, spec=spec), spec, images)
    float_model = export_onnx(model, spec=spec)
    return OnnxQuantizer(float_model, spec, images, export.host_target())


def published(folder: Path, file_format: Format) -> ExportedFile:
    """The manifest's entry of a written file."""
    (file,) = (
        file
        for file in Manifest.read(folder).files
        if (file.format, file.precision) == (file_format.model_format, file_format.precision)
    )
    return file


def rejected_file(folder: Path, file_format: Format) -> RejectedFile:
    """The manifest's entry of a rejected file."""
    ending = file_format.file_name("")
    (file,) = (file for file in Manifest.read(folder).rejected if file.file.endswith(ending))
    return file


def weighted_operators(path: Path) -> tuple[Operator, ...]:
    """The operators of a file that multiply and accumulate."""
    operators = read_graph(path.read_bytes()).operators
    return tuple(node for node in operators if node.multiply_accumulates)


def expected_layers(
    file_format: Format, source: SourceModel, images: NDArray[np.uint8]
) -> list[set[str]]:
    """The one, two, four and eight worst layers, with the layers to exclude with them."""
    worst = sort_by_error(quantizer(file_format, source, images).layer_errors())
    return [{layer for error in worst[:count] for layer in error.exclude} for count in (1, 2, 4, 8)]


def excluded_layers(attempts: tuple[Attempt, ...]) -> list[set[str]]:
    """The excluded layers of the later attempts, after a check of the order of all attempts."""
    plain, later = attempts[: len(METHODS)], attempts[len(METHODS) :]
    assert tuple(attempt.calibration for attempt in plain) == METHODS
    assert not any(attempt.excluded_layers for attempt in plain)
    best = max(plain, key=lambda attempt: attempt.accuracy.file or 0)
    assert {attempt.calibration for attempt in later} == {best.calibration}
    return [set(attempt.excluded_layers) for attempt in later]


def test_int8_without_excluded_layers_is_inaccurate(file_format: Format, folder: Path) -> None:
    """With min-max calibration the accuracy drops by more than ten points, otherwise too much."""
    plain = published(folder, file_format).attempts[: len(METHODS)]
    assert accuracy_drop(plain[0].accuracy) > 0.1
    assert all(accuracy_drop(attempt.accuracy) > MAX_ACCURACY_DROP for attempt in plain)


def test_worst_layers_are_excluded(
    file_format: Format, folder: Path, badly_scaled: SourceModel, calibration: CalibrationSet
) -> None:
    """After all calibration methods the worst layers are excluded, until the drop is allowed."""
    file = published(folder, file_format)
    *before, last = file.attempts
    assert [attempt.passed for attempt in file.attempts] == [False] * len(before) + [True]
    assert file.accuracy == last.accuracy
    assert accuracy_drop(file.accuracy) <= MAX_ACCURACY_DROP
    excluded = excluded_layers(file.attempts)
    expected = expected_layers(file_format, badly_scaled, calibration.images)
    assert excluded == expected[: len(excluded)]
    assert len(excluded) > 0


def test_file_agrees_with_the_manifest(
    file_format: Format, folder: Path, few: Splits, badly_scaled: SourceModel
) -> None:
    """Exactly the excluded layers compute in float; metadata and accuracy agree with the file."""
    file = published(folder, file_format)
    path, last = folder / file.file, file.attempts[-1]
    metadata = Classifier(path).metadata
    assert metadata.quantization is not None
    assert metadata.quantization.excluded_layers == last.excluded_layers
    assert metadata.quantization.calibration == last.calibration
    assert metadata.accuracy == file.accuracy
    in_float = {
        node.output.name if file_format is Format.TFLITE_INT8 else node.name
        for node in weighted_operators(path)
        if node.is_float
    }
    assert {name.rstrip(";") for name in in_float} == {
        name.rstrip(";") for name in last.excluded_layers
    }
    assert any(not node.is_float for node in weighted_operators(path))
    assert set(file.float_operators) >= {
        node.type for node in weighted_operators(path) if node.is_float
    }
    probabilities = Classifier(path).predict(few.validation.images)
    assert file.accuracy.file == np.mean(probabilities.argmax(axis=1) == few.validation.labels)
    assert metadata.labels == badly_scaled.labels


def test_all_attempts_are_rejected(file_format: Format, rejected: tuple[Path, list[str]]) -> None:
    """The int8 file is rejected with its reason, and that of the earlier export is removed."""
    folder, _ = rejected
    manifest = Manifest.read(folder)
    assert [file.precision for file in manifest.files] == ["float32", "float32"]
    assert {path.name for path in folder.iterdir()} == {*manifest.file_names, "manifest.json"}
    assert len(manifest.file_names) == 2
    entry = rejected_file(folder, file_format)
    assert not any(attempt.passed for attempt in entry.attempts)
    least = min(accuracy_drop(attempt.accuracy) for attempt in entry.attempts)
    drop = f"accuracy drops by {100 * least:.2f} percentage points, more than the allowed -100"
    assert entry.reason.startswith(drop)
    assert excluded_layers(entry.attempts)


def test_progress_of_each_attempt(file_format: Format, rejected: tuple[Path, list[str]]) -> None:
    """There is one line for each attempt of the manifest, in the same order."""
    folder, steps = rejected
    name = file_format.file_name("badly-scaled")
    lines = [step for step in steps if step.startswith(f"{name}: int8 with")]
    attempts = rejected_file(folder, file_format).attempts
    assert len(attempts) > len(METHODS)
    for step, attempt in zip(lines, attempts, strict=False):
        count = len(attempt.excluded_layers)
        ending = f", {count} layer{'s' * (count > 1)} excluded" if count else ""
        assert step == f"{name}: int8 with {attempt.calibration} calibration{ending}"
    assert f"{name}: measuring the quantization error of each layer" in steps


def test_never_all_layers_are_excluded(
    file_format: Format, rejected: tuple[Path, list[str]]
) -> None:
    """The four worst of five layers and their consumers are all layers, which is not tried."""
    folder, _ = rejected
    assert len(excluded_layers(rejected_file(folder, file_format).attempts)) == 2
    float_file = file_format.file_name("badly-scaled").replace("int8", "float32")
    assert len(weighted_operators(folder / float_file)) == 5


def test_one_two_four_eight_layers(
    source: SourceModel,
    few: Splits,
    calibration: CalibrationSet,
    tmp_path: Path,
    unlabeled: Callable[..., Any],
) -> None:
    """In a deep network the one, two, four and eight worst layers are excluded, and no more.

    The images have no labels, so the drop is the share of other predicted labels.
    """
    keras.utils.set_random_seed(0)
    convolutions = [layers.Conv2D(4, 1, activation="relu") for _ in range(14)]
    head = layers.Flatten(), layers.Dense(10, "softmax")
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.AveragePooling2D(7), *convolutions, *head]
    )
    deep = dataclasses.replace(source, model=model, name="deep")
    small = dataclasses.replace(calibration, images=calibration.images[:20])
    manifest = export.export(
        deep,
        formats=(Format.TFLITE_INT8,),
        calibration=small,
        validation=unlabeled("my images", few.validation.images[:50]),
        folder=tmp_path,
        progress=lambda _: None,
        max_accuracy_drop=IMPOSSIBLE_DROP,
    )
    (entry,) = manifest.rejected
    assert {(each.accuracy.keras, each.accuracy.file) for each in entry.attempts} == {(None, None)}
    plain, later = entry.attempts[:3], entry.attempts[3:]
    assert tuple(attempt.calibration for attempt in plain) == METHODS
    best = max(plain, key=lambda attempt: attempt.accuracy.agreement)
    assert {attempt.calibration for attempt in later} == {best.calibration}
    expected = expected_layers(Format.TFLITE_INT8, deep, small.images)
    assert [set(attempt.excluded_layers) for attempt in later] == expected
    least = min(1 - attempt.accuracy.agreement for attempt in entry.attempts)
    assert entry.reason.startswith(f"accuracy drops by {100 * least:.2f} percentage points")


@pytest.mark.parametrize("accepted", [True, False])
def test_images_without_labels(  # noqa: PLR0917 (fixtures)
    accepted: bool,
    source: SourceModel,
    few: Splits,
    calibration: CalibrationSet,
    tmp_path: Path,
    unlabeled: Callable[..., Any],
) -> None:
    """Without labels, a file is accepted by its agreement with Keras, exactly at the limit."""
    images = unlabeled("my images", few.validation.images)
    options: dict[str, Any] = {
        "formats": (Format.TFLITE_FLOAT32, Format.TFLITE_DYNAMIC),
        "calibration": calibration,
        "validation": images,
        "folder": tmp_path,
        "progress": lambda _: None,
    }
    first = export.export(source, **options, max_accuracy_drop=1.0).files[1].accuracy
    assert (first.keras, first.file, first.data) == (None, None, "my images")
    expected = Classifier(tmp_path / "baseline.float32.tflite").predict(images.images)
    probabilities = Classifier(tmp_path / "baseline.dynamic.tflite").predict(images.images)
    agrees = expected.argmax(axis=1) == probabilities.argmax(axis=1)
    assert first.agreement == np.mean(agrees)
    drop = accuracy_drop(first)
    assert drop == pytest.approx(1 - first.agreement)
    limit = drop if accepted else drop - 1e-6
    manifest = export.export(source, **options, max_accuracy_drop=limit)
    assert len(manifest.files) == 1 + accepted
    assert (tmp_path / "baseline.dynamic.tflite").exists() == accepted


def test_layer_errors_that_cannot_be_measured(
    source: SourceModel,
    few: Splits,
    calibration: CalibrationSet,
    tmp_path: Path,
    unlabeled: Callable[..., Any],
) -> None:
    """If no layer can be excluded, the manifest still has the attempts."""
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.MaxPooling2D((14, 7)), layers.Flatten()]
    )
    model.add(layers.Softmax())
    manifest = export.export(
        dataclasses.replace(source, model=model, labels=source.labels[:8]),
        formats=(Format.ONNX_INT8,),
        calibration=calibration,
        validation=unlabeled("my images", few.validation.images),
        folder=tmp_path,
        progress=(steps := []).append,
        max_accuracy_drop=IMPOSSIBLE_DROP,
        layer_report=True,
    )
    (entry,) = manifest.rejected
    assert tuple(attempt.calibration for attempt in entry.attempts) == METHODS
    assert any(
        "no layer is excluded from quantization: cannot compare the layers" in step
        for step in steps
    )
    assert not manifest.layer_reports


@pytest.mark.parametrize("size", [200, 400, 1000, 5000])
def test_drop_equal_to_the_limit_is_allowed(size: int) -> None:
    """An error on half a percent of the images is allowed, one more is not, despite rounding."""
    allowed = size // 200
    for keras_correct in range(allowed + 1, size + 1):
        drops = [
            accuracy_drop(
                Accuracy(
                    keras=keras_correct / size,
                    file=(keras_correct - errors) / size,
                    agreement=0.5,
                    data="",
                    size=size,
                )
            )
            for errors in (allowed, allowed + 1)
        ]
        assert drops[0] <= MAX_ACCURACY_DROP < drops[1]
