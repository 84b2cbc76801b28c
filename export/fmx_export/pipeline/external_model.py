"""Read a Keras model that was not trained by fmx: its labels, its images, its input range."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_export.common.calibration import CalibrationSet
from fmx_export.pipeline import provenance
from fmx_export.source.image_arrays import ImageArray, hold_out, sample
from fmx_export.source.input_range import choose_input_range, fold_rescaling, input_spec
from fmx_export.source.keras_model import check_model, load_model
from fmx_export.source.random_images import random_images
from fmx_export.source.source_model import SourceModel
from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images import LabeledImages, few_of
from fmx_runtime.model_file.labels import numbered_labels, read_distinct_labels
from fmx_runtime.model_file.metadata import Provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fmx_export.source.input_range import InputRange
    from fmx_runtime.labeled_images import UnlabeledImages
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["ExternalModel", "read_external_model"]

_RANDOM_IMAGES = 64


@dataclass(frozen=True)
class ExternalModel:
    """A Keras model that was not trained by fmx, and the images for its export.

    Attributes:
        source: the model, its labels, its input and its provenance.
        calibration: the calibration set.
        validation: images to compare the exported files with the model.
    """

    source: SourceModel
    calibration: CalibrationSet
    validation: ImageArray


def read_external_model(
    path: Path,
    images: Mapping[Any, LabeledImages | UnlabeledImages] | None,
    *,
    images_name: str = "",
    labels: Path | None = None,
    input_range: InputRange | None = None,
    allow_code: bool = False,
    calibration_size: int,
    seed: int,
    report: Callable[[str], None],
) -> ExternalModel:
    """Read a Keras model file, and determine what its export needs.

    Calibration takes training images, and the result is checked with validation images. Images
    without splits are divided into both. Test images are not used, so that nothing is chosen by
    them.

    Args:
        path: Keras model file.
        images: by split, as `fmx_runtime.labeled_images.read_splits` returns them. Without images,
            random ones show whether the files compute what the model computes.
        images_name: name of the images in the model metadata.
        labels: text file with the names of the classes; None if they are not known.
        input_range: the range of the input values in training; None to infer it.
        allow_code: whether code in the model file may run.
        calibration_size: the most images to calibrate with.
        seed: of the choice of images, 0 or more.
        report: called with one line about each decision and each image that is skipped.

    Raises:
        KerasModelError: the model cannot be read, is not an image classifier that can be exported,
            or its input range cannot be inferred.
        DataError: the labels or the images do not fit the model.
    """
    names = read_distinct_labels(labels) if labels else None
    model = check_model(load_model(path, allow_code=allow_code), path)
    classes = model.output_shape[1]
    if names and len(names) != classes:
        raise DataError(
            f"'{labels}' has {len(names)} labels, but the model '{path}' has {classes} classes"
        )
    spec = input_spec(model, "0..255")  # pixels are the same in any input range
    if images is None:
        report(
            f"without --calibration the files are compared with Keras on {_RANDOM_IMAGES} random "
            "images, which tells nothing about accuracy"
        )
        name = f"random pixels (seed {seed})"
        validation = calibration = ImageArray(name, random_images(spec, _RANDOM_IMAGES, seed))
        digest = validation.digest()
    else:
        labeled = {
            split: _with_labels_of_model(some, names, classes, report)
            for split, some in images.items()
        }
        names = names or next(iter(labeled.values())).class_names or None
        arrays = _decode(labeled, images_name, spec, report)
        digest = _digest(arrays)
        calibration, validation = _split_images(arrays, images_name, calibration_size, seed, report)
    input_range = input_range or choose_input_range(model, path, calibration, report)
    keras_digest = provenance.weights_digest(model)
    model, spec = fold_rescaling(model, input_spec(model, input_range))
    source = SourceModel(
        model=model,
        path=path,
        name=path.stem,
        labels=names or numbered_labels(classes),
        spec=spec,
        provenance=Provenance(
            recipe="unknown",  # it was trained elsewhere
            seed=seed,
            data=images_name or validation.name,
            data_digest=digest,
            keras_digest=keras_digest,
            commit=provenance.commit(),
            versions=provenance.versions(),
        ),
    )
    return ExternalModel(
        source, CalibrationSet(calibration.images, calibration.name, seed), validation
    )


def _with_labels_of_model(
    images: LabeledImages | UnlabeledImages,
    names: tuple[str, ...] | None,
    classes: int,
    report: Callable[[str], None],
) -> LabeledImages | UnlabeledImages:
    """Return the images with the model's class numbers.

    Args:
        images: from a folder or an ``.npz`` file.
        names: the model's labels, if the user states them. Otherwise the class folders in the
            order of their names are taken, as Keras' ``image_dataset_from_directory`` does.
        classes: the model's number of classes.
        report: called with one line if classes have no images.

    Raises:
        DataError: the classes of the images are not the model's.
    """
    if not isinstance(images, LabeledImages):
        return images
    if names is None and images.class_names:
        if len(images.class_names) != classes:
            raise DataError(
                f"'{images.name}' has images of {len(images.class_names)} classes, but the model "
                f"has {classes} classes; give their names in the model's order with --labels"
            )
        return images
    ordered = images.with_class_names(names or numbered_labels(classes), allow_missing=True)
    counts = np.bincount(ordered.labels, minlength=classes)
    if missing := [name for name, count in zip(names or (), counts, strict=False) if not count]:
        report(f"'{images.name}' has no images of {few_of(missing)}")
    return ordered


def _decode(
    images: Mapping[Any, LabeledImages | UnlabeledImages],
    name: str,
    spec: InputSpec,
    report: Callable[[str], None],
) -> dict[Any, ImageArray]:
    arrays = {}
    for split, some in images.items():
        if split == "test":
            continue  # test images are not used to choose anything
        readable = some.readable(spec, report=report)
        full_name = name if split == "all" else f"{name} {split}"
        arrays[split] = ImageArray(full_name, readable.pixels(spec), readable.labels)
    if not arrays:
        raise DataError(
            f"'{name}' has only test images, which are not used for calibration; give training "
            "images"
        )
    return arrays


def _split_images(
    arrays: Mapping[Any, ImageArray],
    name: str,
    size: int,
    seed: int,
    report: Callable[[str], None],
) -> tuple[ImageArray, ImageArray]:
    """Return calibration images and validation images."""
    if len(arrays) == 1:
        (only,) = arrays.values()
        calibration, validation = hold_out(only, size, seed)
        report(
            f"{len(calibration):,} of the images are used for calibration, "
            f"{len(validation):,} others for validation"
        )
        return calibration, validation
    calibration, validation = sample(arrays["train"], size, seed), arrays["validation"]
    report(
        f"{len(calibration):,} training images of '{name}' are used for calibration, "
        f"{len(validation):,} validation images for validation"
    )
    return calibration, validation


def _digest(arrays: Mapping[Any, ImageArray]) -> str:
    digests = [array.digest() for array in arrays.values()]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
