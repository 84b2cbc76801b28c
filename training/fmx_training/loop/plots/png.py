"""Save a matplotlib figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.support.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = ["save_png"]


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        # without matplotlib's version in it: equal runs write equal files
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
