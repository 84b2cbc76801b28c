"""Train and export one network of keras.applications, for export_coverage.py."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_export.pipeline import provenance
from fmx_export.pipeline.formats import Format
from fmx_runtime.errors import FmxError
from fmx_runtime.images.preprocess import to_pixels, to_tensor
from fmx_runtime.model_file.metadata import InputSpec, Provenance
from fmx_training.data import fashion_mnist
from fmx_training.data.dataset import Dataset
from fmx_training.networks.backbones import BACKBONES

if TYPE_CHECKING:
    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.pipeline.manifest import Manifest
    from fmx_export.source.source_model import SourceModel

SEED = 0
BATCH_SIZE, LEARNING_RATE = 32, 1e-3

FILES = (Format.TFLITE_FLOAT32, Format.TFLITE_INT8, Format.ONNX_FLOAT32, Format.ONNX_INT8)
"""In the order of the table."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How networks are trained and exported.

    Attributes:
        image_size: height and width of the images; 96 is the smallest that suits all families.
        train: number of training images.
        calibration: number of training images that calibrate.
        validation: number of validation images.
        statistics: number of training images for the statistics of batch normalization.
        epochs: number of epochs.
    """

    image_size: int = 96
    train: int = 1000
    calibration: int = 100
    validation: int = 500
    statistics: int = 128
    epochs: int = 4


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """The result for one file; either ``rejected`` or the other fields are set.

    Attributes:
        rejected: why there is no file, in one line.
        size_bytes: size of the file.
        agreement: fraction of the validation images with the same label as the Keras model.
        float_operators: number of operators that compute with floating-point numbers, by type.
    """

    rejected: str | None = None
    size_bytes: int | None = None
    agreement: float | None = None
    float_operators: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FamilyResult:
    """The result for one family of networks.

    Attributes:
        family: name in keras.applications.
        commit: commit of fmx.
        versions: versions of the packages, by name.
        parameters: number of parameters of the network.
        accuracy: accuracy of the Keras model on the validation images, 0..1.
        files: the files, by the names of their formats.
        failed: why there are no files, in one line.
    """

    family: str
    commit: str
    versions: dict[str, str]
    parameters: int | None = None
    accuracy: float | None = None
    files: dict[str, FileResult] = dataclasses.field(default_factory=dict)
    failed: str | None = None


def export_family(family: str, settings: Settings) -> FamilyResult:
    """Train and export one family of networks."""
    from fmx_export.common.calibration import CalibrationSet

    scale, offset = BACKBONES[family]
    spec = InputSpec(
        height=settings.image_size,
        width=settings.image_size,
        channels=3,
        scale=scale,
        offset=offset,
        resize="stretch",
        polarity="any",
    )
    splits = fashion_mnist.load()
    train = _enlarge(splits.train.balanced_sample(settings.train, SEED), spec)
    validation = _enlarge(splits.validation.balanced_sample(settings.validation, SEED), spec)
    model = _train(family, train, spec, settings)
    source = _source_model(family, model, train, spec)
    calibration = CalibrationSet(train.images[: settings.calibration], train.name, SEED)
    return FamilyResult(
        family=family,
        commit=provenance.commit(),
        versions=provenance.versions(),
        parameters=model.count_params(),
        accuracy=_accuracy(model, validation, spec),
        files={form.value: _export_file(source, form, calibration, validation) for form in FILES},
    )


def _enlarge(images: Dataset, spec: InputSpec) -> Dataset:
    """Return the images at the network's size, gray as RGB."""
    pixels = np.stack([to_pixels(image, spec) for image in images.images])
    return Dataset(images.name, pixels, images.labels, images.class_names)


def _train(family: str, train: Dataset, spec: InputSpec, settings: Settings) -> Any:
    """Train a network until its predictions depend on the image.

    With random weights, deep networks amplify rounding errors until the predictions are noise, and
    every quantization looks useless.
    """
    import keras

    keras.utils.set_random_seed(SEED)
    model = getattr(keras.applications, family)(
        weights=None, classes=len(train.class_names), input_shape=spec.shape
    )
    model.compile(keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")
    tensors = to_tensor(train.images, spec)
    model.fit(tensors, train.labels, batch_size=BATCH_SIZE, epochs=settings.epochs, verbose=0)
    _set_statistics(model, tensors[: settings.statistics])
    return model


def _set_statistics(model: Any, tensors: Any) -> None:
    """Set the statistics of batch normalization to those of images.

    The moving averages of a short training are far from them.
    """
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not layers:
        return
    for layer in layers:
        layer.momentum = 0.0
    model(tensors, training=True)


def _accuracy(model: Any, images: Dataset, spec: InputSpec) -> float:
    scores = model.predict(to_tensor(images.images, spec), batch_size=BATCH_SIZE, verbose=0)
    return float(np.mean(scores.argmax(axis=1) == images.labels))


def _source_model(family: str, model: Any, train: Dataset, spec: InputSpec) -> SourceModel:
    from fmx_export.source.source_model import SourceModel

    return SourceModel(
        model=model,
        path=Path(f"{family}.keras"),
        name=family,
        labels=train.class_names,
        spec=spec,
        provenance=Provenance(
            recipe="export-coverage",
            seed=SEED,
            data=train.name,
            data_digest=train.digest(),
            keras_digest=provenance.weights_digest(model),
            commit=provenance.commit(),
            versions=provenance.versions(),
        ),
    )


def _export_file(
    source: SourceModel, form: Format, calibration: CalibrationSet, validation: Dataset
) -> FileResult:
    from fmx_export.pipeline.read_graph import read_graph

    with tempfile.TemporaryDirectory(prefix="fmx-") as name:
        folder = Path(name)
        try:
            manifest = _export(source, form, calibration, validation, folder)
            if manifest.rejected:
                return FileResult(rejected=manifest.rejected[0].reason)
            file = manifest.files[0]
            graph = read_graph((folder / file.file).read_bytes())
        except FmxError as error:
            return FileResult(rejected=str(error))
    kinds = Counter(operator.type for operator in graph.operators if operator.is_float)
    return FileResult(
        size_bytes=file.size_bytes,
        agreement=file.accuracy.agreement,
        float_operators=dict(sorted(kinds.items())),
    )


def _export(
    source: SourceModel,
    form: Format,
    calibration: CalibrationSet,
    validation: Dataset,
    folder: Path,
) -> Manifest:
    from fmx_export.pipeline import export

    return export.export(
        source,
        formats=(form,),
        calibration=calibration,
        validation=validation,
        folder=folder,
        progress=lambda _: None,
        # networks that are hardly trained lose any amount of accuracy
        max_accuracy_drop=1.0,
    )
