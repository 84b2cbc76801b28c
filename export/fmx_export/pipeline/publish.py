"""The files of one export into their folder: all of them, or none."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_export.pipeline.manifest import MANIFEST, Manifest
from fmx_runtime.errors import DataError, OutputError
from fmx_runtime.support.atomic import make_folder, moving, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["finish_publishing", "publishing"]

_STAGING = ".fmx-"
_READY = ".fmx-ready"


@contextlib.contextmanager
def publishing(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder to work in, and publish what is in it when all went well.

    While the work goes on, ``folder`` holds the earlier export, whole. Then the finished files are
    made ready under one name, which is a single step of the file system, and moved to their own;
    if that is cut off, the next `finish_publishing` goes on with it. Files of the earlier export
    that the new one lacks are removed last: they are of another model.

    Args:
        folder: made where it is missing.
        names: of the files to come.

    Raises:
        OutputError: the folder cannot be written to.
    """
    make_folder(folder)
    _refuse_folders(folder, (*names, MANIFEST))
    for left_behind in folder.glob(f"{_STAGING}[!r]*"):  # by an export that was killed
        shutil.rmtree(left_behind, ignore_errors=True)
    finish_publishing(folder)
    with tempfile.TemporaryDirectory(prefix=f"{_STAGING}_", dir=folder) as name:
        staging = Path(name, "export")
        staging.mkdir()
        yield staging
        _refuse_folders(folder, [path.name for path in staging.iterdir()])
        with moving(folder):
            sync(staging)
            staging.replace(folder / _READY)
    finish_publishing(folder)


def finish_publishing(folder: Path) -> None:
    """Move finished files to their own names, where that was begun and not ended.

    Raises:
        OutputError: the folder cannot be written to.
    """
    ready = folder / _READY
    if not ready.is_dir():
        return
    with moving(folder):
        new = _names(ready)
        for name in new:
            if (ready / name).exists():
                (ready / name).replace(folder / name)
        if (ready / MANIFEST).exists():
            for name in _names(folder) - new:
                (folder / name).unlink(missing_ok=True)
            # last: until here it is the earlier one, which names what has to go
            (ready / MANIFEST).replace(folder / MANIFEST)
        sync(folder)
        shutil.rmtree(ready)


def _refuse_folders(folder: Path, names: Iterable[str]) -> None:
    """Refuse what would end the moving of files half-way."""
    for name in names:
        if (folder / name).is_dir():
            raise OutputError(f"cannot write '{folder / name}': a folder of that name is there")


def _names(folder: Path) -> set[str]:
    """The files that a folder's manifest lists; none where there is none that can be read."""
    with contextlib.suppress(DataError):
        return {name for name in Manifest.read(folder).names if Path(name).name == name}
    return set()
