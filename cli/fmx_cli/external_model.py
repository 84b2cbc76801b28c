"""A Keras model that no training run tells anything about: what it is, and images for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fmx_cli.output.terminal import note
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Provenance
from fmx_training.data import class_names, image_folder
from fmx_training.data.dataset import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.source.input_range import InputRange
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.image_folder import Images

__all__ = ["External", "Pixels", "prepare"]

Pixels = Literal["auto", "0..1", "-1..1", "0..255"]

_NOISE_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class External:
    """What the user says of such a model.

    Attributes:
        labels: file with the names of its classes.
        calibration: images, see `fmx_training.data.image_folder`.
        pixels: the values that an image's 0 and 255 become.
        allow_code: whether code in the file may run.
    """

    labels: Path | None
    calibration: Path | None
    pixels: Pixels
    allow_code: bool

    def given(self) -> list[str]:
        """The options that were used."""
        used = {
            "--labels": self.labels is not None,
            "--calibration": self.calibration is not None,
            "--input-range": self.pixels != "auto",
            "--allow-code": self.allow_code,
        }
        return [option for option, is_used in used.items() if is_used]


def prepare(
    path: Path, external: External, calibration_size: int, seed: int
) -> tuple[SourceModel, Dataset | Images, Dataset | Images]:
    """The model as the exporter takes it, calibration images, and held-out images.

    Raises:
        KerasModelError: it is no image classifier that can be exported.
        DataError: the labels or the images do not fit it.
    """
    from fmx_export.pipeline import provenance
    from fmx_export.source.input_range import fold_rescaling, input_spec
    from fmx_export.source.keras_model import check_model, load_model
    from fmx_export.source.source_model import SourceModel

    names = class_names.read_names(external.labels) if external.labels else None
    model = check_model(load_model(path, allow_code=external.allow_code), path)
    classes = model.output_shape[1]
    if names and len(names) != classes:
        raise DataError(
            f"'{external.labels}' has {len(names)} labels, '{path}' tells {classes} classes apart"
        )
    images = _images(model, external, names, seed)
    if external.calibration is None:
        sample = held_out = images
    else:
        sample, held_out = image_folder.split(images, calibration_size, seed)
        note(f"{len(sample):,} of the images calibrate, {len(held_out):,} others are held out")
    spec = input_spec(model, _pixel_range(model, path, external.pixels, sample))
    labels = images.class_names if isinstance(images, Dataset) else names
    digest = provenance.weights_digest(model)
    model, spec = fold_rescaling(model, spec)
    source = SourceModel(
        model=model,
        path=path,
        name=path.stem,
        labels=labels or class_names.numbered(classes),
        spec=spec,
        provenance=Provenance(
            recipe="unknown",  # it was trained elsewhere
            seed=seed,
            data=images.name,
            data_digest=images.digest(),
            keras_digest=digest,
            commit=provenance.commit(),
            versions=provenance.versions(),
        ),
    )
    return source, sample, held_out


def _images(
    model: Any, external: External, names: tuple[str, ...] | None, seed: int
) -> Dataset | Images:
    from fmx_export.source.input_range import input_spec

    spec = input_spec(model, "0..255")  # of any range: images are bytes until they are asked
    if external.calibration is None:
        note(
            f"without --calibration the files are compared with Keras on {_NOISE_SIZE} random "
            "images, which tells nothing about accuracy"
        )
        return image_folder.noise(spec, _NOISE_SIZE, seed)
    return image_folder.read(
        external.calibration, spec, classes=model.output_shape[1], names=names, report=note
    )


def _pixel_range(model: Any, path: Path, pixels: Pixels, sample: Dataset | Images) -> InputRange:
    """The range that the user or the model states, or else the one that fits labeled images."""
    from fmx_export.source.input_range import infer_input_range, stated_range

    if pixels != "auto":
        return pixels
    if stated := stated_range(model):
        note(f"pixels {stated}: the network rescales them itself")
        return stated
    (likeliest, hits), *others = infer_input_range(model, path, sample).items()
    rest = ", ".join(f"{other}: {fraction:.1%}" for other, fraction in others)
    note(
        f"pixels {likeliest} fit the labels of the calibration images best: {hits:.1%} right "
        f"({rest}); --input-range says it otherwise"
    )
    return likeliest
