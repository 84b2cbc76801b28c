"""``fmx data``: where Fashion-MNIST is stored and what is in it."""

from pathlib import Path
from typing import Annotated

import typer

from fmx_cli.parsing.options import DataDir

__all__ = ["data"]


def data(
    contact_sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw sample images of each class as a PNG file."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Show the Fashion-MNIST files, checksums and class counts."""
    from fmx_cli.workflows.describe_data import describe_data

    describe_data(data_dir, contact_sheet)
