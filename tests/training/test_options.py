"""Options of ``fmx train``: which ones go together, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fmx_runtime.errors import DataError
from fmx_training.options import TrainOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_training.run_folder import Run

DATA = Path("images")


@pytest.mark.parametrize(
    ("options", "recipe", "shape"),
    [
        ({}, "edge", (28, 28, 1)),
        ({"recipe": "nano"}, "nano", (28, 28, 1)),
        ({"data": DATA}, "photo", (64, 64, 3)),
        ({"data": DATA, "image_size": 32}, "photo", (32, 32, 3)),
        ({"data": DATA, "backbone": "MobileNet"}, "finetune", (128, 128, 3)),
    ],
)
def test_defaults(options: dict[str, Any], recipe: str, shape: tuple[int, int, int]) -> None:
    """Recipe and image size fit the images unless they are given."""
    given = TrainOptions(**options)
    chosen = given.choose_recipe()
    assert chosen.name == recipe
    assert given.input_spec(chosen).shape == shape


@pytest.mark.parametrize(
    ("segment_garment", "polarity", "subject"),
    [(False, "any", "whole"), (True, "light-on-dark", "garment")],
)
def test_garment_segmentation(segment_garment: bool, polarity: str, subject: str) -> None:
    """The input says whether garments are segmented, which makes them light on dark."""
    options = TrainOptions(data=DATA, segment_garment=segment_garment)
    spec = options.input_spec(options.choose_recipe())
    assert (spec.polarity, spec.subject) == (polarity, subject)


def test_backbone_input_range() -> None:
    """A backbone gets pixels in its own range, and ImageNet weights unless others are given."""
    options = TrainOptions(data=DATA, backbone="MobileNetV2")
    spec = options.input_spec(options.choose_recipe())
    assert (spec.scale, spec.offset) == (1 / 127.5, -1)
    assert options.backbone_weights == "imagenet"
    assert not TrainOptions(data=DATA).backbone_weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": DATA, "photos": DATA}, "--data is for your own images, --photos for"),
        ({"data": DATA, "data_dir": DATA}, "--data is for your own images, --data-dir for"),
        ({"image_size": 32}, "--image-size needs --data"),
        ({"segment_garment": True}, "--segment-garment needs --data"),
        ({"backbone": "MobileNet"}, "--backbone needs --data"),
        ({"data": DATA, "weights": "none"}, "--weights needs --backbone"),
        ({"data": DATA, "image_size": 513}, "--image-size 513 is more than 512 pixels"),
        ({"data": DATA, "recipe": "finetune"}, "recipe 'finetune' needs --backbone"),
        ({"recipe": "nonesuch"}, "no recipe 'nonesuch'"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    """Each wrong combination is a DataError that names the options."""
    with pytest.raises(DataError, match=message):
        TrainOptions(**options).choose_recipe()


def test_unknown_backbone() -> None:
    """Backbones are checked before any image is read."""
    options = TrainOptions(data=DATA, backbone="ResNet1000")
    with pytest.raises(DataError, match="no backbone 'ResNet1000'"):
        options.input_spec(options.choose_recipe())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "nano"}, "started with --recipe baseline, which --resume cannot change"),
        ({"epochs": 4}, "started with --epochs 3, which --resume cannot change"),
        ({"seed": 1}, "started with --seed 0, which --resume cannot change"),
        ({"photos": DATA}, "--photos cannot be used with --resume"),
        ({"teachers": (DATA,)}, "--teacher cannot be used with --resume"),
        ({"image_size": 32}, "--image-size cannot be used with --resume"),
    ],
)
def test_resume_changes_nothing(
    options: dict[str, Any], message: str, create_run: Callable[..., Run], tmp_path: Path
) -> None:
    """Other settings than the run was started with are refused, the same ones are accepted."""
    run = create_run(tmp_path / "run")
    TrainOptions(recipe="baseline", epochs=3, seed=0).check_resumes(run)
    with pytest.raises(DataError, match=message):
        TrainOptions(**options).check_resumes(run)
