"""Publish the files of an export in their folder: all of them, or none."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_export.pipeline.manifest import MANIFEST, Manifest
from fmx_runtime.errors import DataError, OutputError
from fmx_runtime.support.atomic import as_output_error, make_folder, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["finish_publishing", "publishing"]

_STAGING_PREFIX = ".fmx-_"
"""Begins the names of the hidden folders in which exports write their files."""
_READY = ".fmx-ready"
"""Name of the hidden folder of a complete export, while its files are moved to their names."""


@contextlib.contextmanager
def publishing(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a staging folder, and publish its files if no exception was raised.

    Until the end, ``folder`` holds the earlier export, unchanged. Then the staging folder is
    renamed to a fixed name, which the file system does in one step, and its files are moved to
    their own names. If this is interrupted, the next `finish_publishing` continues it. Files of
    the earlier export that the new one does not have are removed last, because they belong to
    another model.

    Args:
        folder: created where it is missing.
        names: of the files that will be written, except the manifest.

    Yields:
        An empty folder on the same file system.

    Raises:
        OutputError: the folder cannot be written to, or holds a folder with a file's name.
    """
    make_folder(folder)
    _refuse_folders(folder, (*names, MANIFEST))
    for leftover in folder.glob(f"{_STAGING_PREFIX}*"):  # of an export that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    finish_publishing(folder)
    with tempfile.TemporaryDirectory(prefix=_STAGING_PREFIX, dir=folder) as name:
        staging = Path(name, "export")
        staging.mkdir()
        yield staging
        _refuse_folders(folder, [path.name for path in staging.iterdir()])
        with as_output_error(folder):
            sync(staging)
            staging.replace(folder / _READY)
    finish_publishing(folder)


def finish_publishing(folder: Path) -> None:
    """Move the files of a complete export to their names, if that was interrupted.

    Args:
        folder: an export folder; nothing happens where it has no unfinished export.

    Raises:
        OutputError: the folder cannot be written to.
    """
    ready = folder / _READY
    if not ready.is_dir():
        return
    with as_output_error(folder):
        new = _manifest_names(ready)
        for name in new:
            if (ready / name).exists():
                (ready / name).replace(folder / name)
        if (ready / MANIFEST).exists():
            for name in _manifest_names(folder) - new:
                (folder / name).unlink(missing_ok=True)
            # moved last: until now, the earlier manifest names the files that have to be removed
            (ready / MANIFEST).replace(folder / MANIFEST)
        sync(folder)
        shutil.rmtree(ready)


def _refuse_folders(folder: Path, names: Iterable[str]) -> None:
    """Raise an error where a folder has a file's name, before any file is moved."""
    for name in names:
        if (folder / name).is_dir():
            raise OutputError(
                f"cannot write '{folder / name}': a folder with this name exists; "
                "remove it, or choose another output folder"
            )


def _manifest_names(folder: Path) -> set[str]:
    """Return the file names of a folder's manifest; none where it has no readable manifest."""
    with contextlib.suppress(DataError):
        names = Manifest.read(folder).file_names
        return {name for name in names if Path(name).name == name}
    return set()
