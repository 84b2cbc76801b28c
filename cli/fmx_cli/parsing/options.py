"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DataDir"]

DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with the four Fashion-MNIST files. Default: $FMX_DATA_DIR, or the usual "
        "places, or a download.",
        show_default=False,
    ),
]
