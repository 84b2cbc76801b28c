"""``fmx train``: train a network on Fashion-MNIST or on the user's own images."""

from pathlib import Path
from typing import Annotated

import typer

from fmx_cli.parsing.options import DataDir

__all__ = ["train"]


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="NAME",
            help="Training recipe: baseline, nano, edge, max, photo or finetune. Default: edge; "
            "with --data photo, or finetune if --backbone is given.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of epochs. Default: the recipe's."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Random seed. Default: 0.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume the run in --output, or the newest unfinished one."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Run folder. Default: runs/RECIPE-DATE-TIME."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Train on your own images, stored as DIR/train/CLASS/IMAGE or DIR/CLASS/IMAGE. "
            "Default: Fashion-MNIST.",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=8,
            help="Height and width in pixels to which the images of --data are resized. "
            "Default: 64, with --backbone 128.",
        ),
    ] = None,
    segment_garment: Annotated[
        bool,
        typer.Option(
            "--segment-garment", help="Segment the garment in each photo of --data first."
        ),
    ] = False,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Network of keras.applications to fine-tune on --data, such as MobileNetV2.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|FILE",
            help="Initial weights of the backbone. Default: imagenet.",
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photos of clothes to train on in addition to Fashion-MNIST."
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Finished run to distill from; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Train a network and write a run folder."""
    from fmx_cli.workflows.train_network import train_network
    from fmx_training.options import TrainOptions

    options = TrainOptions(
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        output=output,
        data_dir=data_dir,
        photos=photos,
        teachers=tuple(teacher or ()),
        data=data,
        image_size=image_size,
        segment_garment=segment_garment,
        backbone=backbone,
        weights=weights,
    )
    train_network(options, resume=resume)
