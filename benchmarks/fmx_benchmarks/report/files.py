"""Write the reports: JSON to keep, Markdown for a pull request, an HTML page to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_benchmarks.report.html import render_html
from fmx_benchmarks.report.markdown import render_markdown
from fmx_runtime.support.atomic import make_folder, write

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.bench.result import Result

__all__ = ["HTML_NAME", "write_reports"]

HTML_NAME = "report.html"


def write_reports(result: Result, images: NDArray[np.uint8], folder: Path) -> tuple[Path, ...]:
    """Write result.json, report.md and report.html.

    Args:
        result: the result.
        images: uint8 ``(n, height, width, 1 or 3)``, the images of the result.
        folder: created if missing; files of the same names are replaced.

    Returns:
        The paths of the files.

    Raises:
        DataError: The number of images differs from the result's.
        OutputError: The folder cannot be written to.
    """
    make_folder(folder)
    contents = {
        "result.json": result.to_json() + "\n",
        "report.md": render_markdown(result),
        HTML_NAME: render_html(result, images),
    }
    for name, content in contents.items():
        write(folder / name, content)
    return tuple(folder / name for name in contents)
