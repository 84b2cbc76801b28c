"""Fashion-MNIST: found on this machine or fetched, checked byte by byte, split.

70,000 images of clothes, 28x28, gray, light on a dark ground, ten classes of 7,000 each; made by
Zalando Research (arXiv:1708.07747), MIT licence. No other module knows these numbers.

Four IDX files hold it. They are published gzipped, and some distributions compress them anew; so
what is checked, wherever a file was found, is the SHA-256 of what it holds once unpacked.
"""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import platformdirs

from fmx_runtime.errors import DataError, OutputError
from fmx_training.data import download
from fmx_training.data.dataset import Dataset, Splits
from fmx_training.data.idx import IdxFile, read_idx

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CLASS_NAMES",
    "NAME",
    "POLARITY",
    "SHAPE",
    "SUBJECT",
    "Description",
    "FileFacts",
    "Found",
    "describe",
    "find",
    "load",
    "read",
]

NAME = "fashion-mnist"
SHAPE = (28, 28, 1)
"""Height, width and channels of its images."""
POLARITY: Literal["light-on-dark"] = "light-on-dark"
SUBJECT: Literal["garment"] = "garment"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
VALIDATION_SIZE = 5_000
VALIDATION_SEED = 0  # one cut for all trainings, whatever seeds they have

ENVIRONMENT_VARIABLE = "FMX_DATA_DIR"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
HOMES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A folder with the four files, not yet read; ``how`` says why it is this one."""

    folder: Path
    how: str


@dataclass(frozen=True)
class FileFacts:
    """One file: its path, its size in bytes there, the SHA-256 of what it holds unpacked."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """What there is to say of a data set: its place, its checked files, its images by class."""

    folder: Path
    how: str
    files: tuple[FileFacts, ...]
    train_counts: dict[str, int]
    test_counts: dict[str, int]


_FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "25c81989df183df01b3e8a0aad5dffbe",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "bef4ecab320f06d8554ea6380940ec79",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "bb300cfdad3c16e7a12a480ee83cd310",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def load(data_dir: Path | None = None) -> Splits:
    """Find the files, or fetch them, and read them: `find`, then `read`."""
    return read(find(data_dir))


def find(data_dir: Path | None = None) -> Found:
    """Where the four files are; if they are nowhere, fetch them into the user's cache.

    Args:
        data_dir: the folder to use and no other. Without it the environment variable FMX_DATA_DIR
            names one likewise; without either, the user's cache, the Debian package's folder and
            Keras' cache are searched, then the public homes and the Debian archive are asked.

    Returns:
        The folder; its files are there, but only `read` and `describe` check what they hold.

    Raises:
        DataError: a file is not in the folder named, or the files are nowhere to be had.
        OutputError: the files could be fetched, but the user's cache cannot be written.
    """
    for folder, who in (
        (data_dir, "--data-dir"),
        (os.environ.get(ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE),
    ):
        if folder:
            return _found_in(Path(folder).expanduser(), who)
    tried: list[str] = []
    for place, how in _places():
        try:
            return _found_in(place, how)
        except DataError as error:
            tried.append(str(error))
    return _fetch(tried)


def read(found: Found) -> Splits:
    """Read and check all four files.

    Returns:
        55,000, 5,000 and 10,000 images, uint8 ``(n, 28, 28, 1)``, light on dark. The validation
        images are 500 of each class out of the 60,000 training images, always the same.

    Raises:
        DataError: a file is truncated or altered, or cannot be read.
    """
    training, test = _read_parts(found)
    train, validation = training.split(VALIDATION_SIZE, VALIDATION_SEED)
    return Splits(
        replace(train, name=f"{NAME} train"),
        replace(validation, name=f"{NAME} validation"),
        test,
    )


def describe(found: Found) -> Description:
    """Read and check all four files, and tell what they are.

    Returns:
        The facts; the training counts are those of all 60,000, validation images included.

    Raises:
        DataError: a file is truncated or altered, or cannot be read.
    """
    training, test = _read_parts(found)
    facts = []
    for file in _FILES:
        path = file.in_folder(found.folder)
        facts.append(FileFacts(path, path.stat().st_size, file.sha256))
    return Description(
        found.folder, found.how, tuple(facts), training.class_counts(), test.class_counts()
    )


def _places() -> list[tuple[Path, str]]:
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return [
        (_cache(), "the user's cache"),
        (DEBIAN_FOLDER, f"the Debian package {DEBIAN_PACKAGE}"),
        (keras_home / "datasets" / NAME, "Keras' cache"),
    ]


def _cache() -> Path:
    return platformdirs.user_cache_path("fmx") / NAME


def _found_in(folder: Path, how: str) -> Found:
    try:
        missing = [file.name for file in _FILES if not file.in_folder(folder).is_file()]
        reason = f"has no {', '.join(missing)}, neither with .gz nor without" if missing else ""
        if missing and not folder.is_dir():
            reason = "is a file, not a folder" if folder.exists() else "does not exist"
    except OSError as error:
        reason = f"cannot be looked into ({error.strerror})"
    if reason:
        raise DataError(f"'{folder}' ({how}) {reason}")
    return Found(folder, how)


def _fetch(tried: list[str]) -> Found:
    """Ask one source after the other for all four files; only checked ones enter the cache."""
    cache = _cache()
    _log.warning("Fashion-MNIST is not on this machine; fetching about 30 MB into '%s'", cache)
    for source, bring in _sources():
        try:
            with tempfile.TemporaryDirectory(dir=_made(cache.parent), prefix=".fetching-") as work:
                folder = bring(Path(work))
                _read_parts(Found(folder, source))
                _made(cache)
                for file in _FILES:
                    path = file.in_folder(folder)
                    path.replace(cache / path.name)
        except DataError as error:
            tried.append(f"{source}: {error}")
        except OSError as error:
            raise OutputError(
                f"Fashion-MNIST is not on this machine and cannot be put into '{cache}' "
                f"({error.strerror}); let XDG_CACHE_HOME name a folder that can be written, or "
                f"--data-dir one that has the files"
            ) from error
        else:
            return Found(cache, f"fetched from {source}")
    raise DataError(
        "Fashion-MNIST was not found: "
        + "; ".join(f"({number}) {reason}" for number, reason in enumerate(tried, start=1))
        + f"; bring its four files here and name their folder with --data-dir or "
        f"{ENVIRONMENT_VARIABLE}"
    )


def _sources() -> list[tuple[str, Callable[[Path], Path]]]:
    """Each source's name, and what brings its files into a working folder."""
    published = [download.RemoteFile(f"{file.name}.gz", file.gz_md5) for file in _FILES]

    def from_home(home: str) -> Callable[[Path], Path]:
        def bring(work: Path) -> Path:
            download.download(home, published, work)
            return work

        return bring

    def from_package(work: Path) -> Path:
        tree = download.unpack_debian_package(DEBIAN_PACKAGE, work)
        return tree / DEBIAN_FOLDER.relative_to("/")

    return [
        *((home, from_home(home)) for home in HOMES),
        (f"the Debian package {DEBIAN_PACKAGE}", from_package),
    ]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read_parts(found: Found) -> tuple[Dataset, Dataset]:
    """All training images, and the test images."""
    arrays = [read_idx(file, file.in_folder(found.folder)) for file in _FILES]
    parts = zip(("train", "test"), arrays[::2], arrays[1::2], strict=True)
    training, test = (
        Dataset(f"{NAME} {part}", images[..., np.newaxis], labels.astype(np.int64), CLASS_NAMES)
        for part, images, labels in parts
    )
    return training, test
