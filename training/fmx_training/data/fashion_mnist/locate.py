"""Find the folder with the four files, or download them into the user's cache."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from fmx_runtime.errors import DataError, OutputError
from fmx_training.data.fashion_mnist import download
from fmx_training.data.fashion_mnist.idx import read_idx
from fmx_training.data.fashion_mnist.published_files import FILES, NAME

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Found", "find"]

ENVIRONMENT_VARIABLE = "FMX_DATA_DIR"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SITES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A folder with the four files, which are not yet verified.

    Attributes:
        folder: the folder.
        how: why this folder was chosen.
    """

    folder: Path
    how: str


def find(data_dir: Path | None = None) -> Found:
    """Find the folder with the four files. If there is none, download them into the user's cache.

    Args:
        data_dir: the only folder to look in. Without it, the environment variable FMX_DATA_DIR may
            name this folder. Without both, the user's cache, the Debian package's folder and Keras'
            cache are searched, then the public sites and the Debian archive are tried.

    Returns:
        A folder that has the files; `read` and `describe` verify their contents.

    Raises:
        DataError: the given folder lacks a file, or the files cannot be found or downloaded.
        OutputError: the user's cache cannot be written.
    """
    for folder, option in (
        (data_dir, "--data-dir"),
        (os.environ.get(ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE),
    ):
        if folder:
            return _find_in(Path(folder).expanduser(), option)
    reasons: list[str] = []
    for place, how in _places():
        try:
            return _find_in(place, how)
        except DataError as error:
            reasons.append(str(error))
    return _download(reasons)


def _places() -> list[tuple[Path, str]]:
    """Return the folders that are searched, and what they are called."""
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return [
        (_cache(), "the user's cache"),
        (DEBIAN_FOLDER, f"the Debian package {DEBIAN_PACKAGE}"),
        (keras_home / "datasets" / NAME, "Keras' cache"),
    ]


def _cache() -> Path:
    return platformdirs.user_cache_path("fmx") / NAME


def _find_in(folder: Path, how: str) -> Found:
    """Check that a folder has all four files, packed or not.

    Raises:
        DataError: it lacks one, or cannot be read.
    """
    try:
        missing = [file.name for file in FILES if not file.in_folder(folder).is_file()]
        problem = f"has no {', '.join(missing)}, neither with .gz nor without" if missing else ""
        if missing and not folder.is_dir():
            problem = "is a file, not a folder" if folder.exists() else "does not exist"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    if problem:
        raise DataError(f"'{folder}' ({how}) {problem}")
    return Found(folder, how)


def _download(reasons: list[str]) -> Found:
    """Try one source after the other. Only verified files enter the cache.

    Args:
        reasons: why the files were not found on this machine; the sources' failures are added.
    """
    cache = _cache()
    _log.warning("Fashion-MNIST is not on this machine; downloading about 30 MB to '%s'", cache)
    for source, fetch in _sources():
        try:
            temporary = tempfile.TemporaryDirectory(
                dir=_make_folder(cache.parent), prefix=".fetching-"
            )
            with temporary as work:
                _move_verified_files(fetch(Path(work)), cache)
        except DataError as error:
            reasons.append(f"{source}: {error}")
        except OSError as error:
            raise OutputError(
                f"Fashion-MNIST is not on this machine and cannot be saved in '{cache}' "
                f"({error.strerror}); set XDG_CACHE_HOME to a folder that can be written, or give "
                "a folder that has the files with --data-dir"
            ) from error
        else:
            return Found(cache, f"downloaded from {source}")
    raise DataError(
        "Fashion-MNIST was not found: "
        + "; ".join(f"({number}) {reason}" for number, reason in enumerate(reasons, start=1))
        + "; copy its four files to this machine and give their folder with --data-dir or "
        f"{ENVIRONMENT_VARIABLE}"
    )


def _move_verified_files(folder: Path, cache: Path) -> None:
    paths = [file.in_folder(folder) for file in FILES]
    for file, path in zip(FILES, paths, strict=True):
        read_idx(file, path)
    _make_folder(cache)
    for path in paths:
        path.replace(cache / path.name)


def _sources() -> list[tuple[str, Callable[[Path], Path]]]:
    """Return each source's name, and a function that downloads its files.

    The function takes an empty folder to work in, and returns the folder that has the files.
    """
    published = [download.RemoteFile(f"{file.name}.gz", file.gz_md5) for file in FILES]

    def from_site(site: str) -> Callable[[Path], Path]:
        def fetch(work: Path) -> Path:
            download.download(site, published, work)
            return work

        return fetch

    def from_package(work: Path) -> Path:
        tree = download.unpack_debian_package(DEBIAN_PACKAGE, work)
        return tree / DEBIAN_FOLDER.relative_to("/")

    return [
        *((site, from_site(site)) for site in SITES),
        (f"the Debian package {DEBIAN_PACKAGE}", from_package),
    ]


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
