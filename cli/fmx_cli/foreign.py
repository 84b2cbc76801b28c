"""A Keras model that no training run tells anything about: what it is, and pictures for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fmx_cli.terminal import note
from fmx_runtime.card import Provenance
from fmx_runtime.errors import DataError
from fmx_training import class_names, image_folder
from fmx_training.dataset import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.bundle import Source
    from fmx_export.pixel_range import PixelRange
    from fmx_training.image_folder import Pictures

__all__ = ["Foreign", "Pixels", "prepare"]

Pixels = Literal["auto", "0..1", "-1..1", "0..255"]

_NOISE_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What the user says of such a model.

    Attributes:
        labels: file with the names of its classes.
        calibration: pictures, see `fmx_training.image_folder`.
        pixels: the values that a picture's 0 and 255 become.
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
            "--pixels": self.pixels != "auto",
            "--allow-code": self.allow_code,
        }
        return [option for option, is_used in used.items() if is_used]


def prepare(
    path: Path, foreign: Foreign, calibration_size: int, seed: int
) -> tuple[Source, Dataset | Pictures, Dataset | Pictures]:
    """The model as the exporter takes it, calibration pictures, and held-out pictures.

    Raises:
        KerasModelError: it is no image classifier that can be exported.
        DataError: the labels or the pictures do not fit it.
    """
    from fmx_export import provenance
    from fmx_export.bundle import Source
    from fmx_export.keras_model import check_model, load_model
    from fmx_export.pixel_range import absorb_rescaling, input_spec

    names = class_names.read_names(foreign.labels) if foreign.labels else None
    model = check_model(load_model(path, allow_code=foreign.allow_code), path)
    classes = model.output_shape[1]
    if names and len(names) != classes:
        raise DataError(
            f"'{foreign.labels}' has {len(names)} labels, '{path}' tells {classes} classes apart"
        )
    pictures = _pictures(model, foreign, names, seed)
    if foreign.calibration is None:
        sample = held_out = pictures
    else:
        sample, held_out = image_folder.split(pictures, calibration_size, seed)
        note(f"{len(sample):,} of the pictures calibrate, {len(held_out):,} others are held out")
    spec = input_spec(model, _pixel_range(model, path, foreign.pixels, sample))
    labels = pictures.class_names if isinstance(pictures, Dataset) else names
    digest = provenance.weights_digest(model)
    model, spec = absorb_rescaling(model, spec)
    source = Source(
        model=model,
        path=path,
        name=path.stem,
        labels=labels or class_names.numbered(classes),
        spec=spec,
        provenance=Provenance(
            recipe="unknown",  # it was trained elsewhere
            seed=seed,
            data=pictures.name,
            data_digest=pictures.digest(),
            keras_digest=digest,
            commit=provenance.commit(),
            versions=provenance.versions(),
        ),
    )
    return source, sample, held_out


def _pictures(
    model: Any, foreign: Foreign, names: tuple[str, ...] | None, seed: int
) -> Dataset | Pictures:
    from fmx_export.pixel_range import input_spec

    spec = input_spec(model, "0..255")  # of any range: pictures are bytes until they are asked
    if foreign.calibration is None:
        note(
            f"without --calibration the files are compared with Keras on {_NOISE_SIZE} random "
            "pictures, which tells nothing about accuracy"
        )
        return image_folder.noise(spec, _NOISE_SIZE, seed)
    return image_folder.read(
        foreign.calibration, spec, classes=model.output_shape[1], names=names, report=note
    )


def _pixel_range(model: Any, path: Path, pixels: Pixels, sample: Dataset | Pictures) -> PixelRange:
    """The range that the user or the model states, or else the one that fits labelled pictures."""
    from fmx_export.pixel_range import stated_range, try_ranges

    if pixels != "auto":
        return pixels
    if stated := stated_range(model):
        note(f"pixels {stated}: the network rescales them itself")
        return stated
    (likeliest, hits), *others = try_ranges(model, path, sample).items()
    rest = ", ".join(f"{other}: {fraction:.1%}" for other, fraction in others)
    note(
        f"pixels {likeliest} fit the labels of the calibration pictures best: {hits:.1%} right "
        f"({rest}); --pixels says it otherwise"
    )
    return likeliest
