"""Anybody's labeled images to train on: one folder for each class.

::

    DIR/train/cat/1.jpg        DIR/train/dog/2.png        learnt from
    DIR/validation/cat/…       DIR/validation/dog/…       chooses between networks
    DIR/test/cat/…             DIR/test/dog/…             measures the chosen one, once

A part that is missing is split off ``train``: each image by a hash of the seed and of its file's
content, so that an image stays on its side when others are added, and equal files stay together.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import DataError, ImageError
from fmx_runtime.images.decode import open_image
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.support.cores import usable_cores
from fmx_training.data.dataset import Dataset, Splits
from fmx_training.data.image_folder import images_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["read"]

_SHARE = 0.1
"""Of the images in ``train``, for each part that is missing."""
_MOST_UNREADABLE = 0.05
"""Share of files that may be left out because they are no images."""
_SMALLEST = 8
"""Pixels on a side; smaller images show nothing that can be learnt."""
_FEWEST = 3
"""Images that a class needs: one for each part."""

_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class _File:
    path: Path
    label: int
    digest: bytes
    """SHA-256 of the seed and the file's content."""

    @property
    def place(self) -> float:
        """Where among all images the hash puts it, from 0 to 1."""
        return int.from_bytes(self.digest[:8], "big") / 2**64


def read(
    folder: Path,
    spec: InputSpec,
    seed: int,
    *,
    gray: bool = True,
    watch: Callable[[Iterable[Any], int, str], Iterable[Any]],
    report: Callable[[str], None],
) -> tuple[Splits, InputSpec]:
    """All images of a folder at the network's size, in three parts without an image in two.

    Args:
        folder: see the module's own words.
        spec: the network's input, of three channels.
        seed: of the split, 0 or more.
        gray: whether the input becomes one of one channel where all images are gray.
        watch: passes on the items that it is given, with their number and what is done to them.
        report: called with one line about each file that is left out, and about unequal classes.

    Returns:
        The parts, and the spec of the input that they were made for.

    Raises:
        DataError: there are fewer than two classes, a class has too few images, or too many
            files cannot be read.
    """
    parts = [part for part in _PARTS if (folder / part).is_dir()]
    if not folder.is_dir():
        raise DataError(f"'{folder}' (--data) is no folder; give one with 'train/CLASS/IMAGE' in")
    roots = {part: folder / part for part in parts} if "train" in parts else {"train": folder}
    names = _class_names(roots["train"])
    files = {part: _listed(root, names, seed, report) for part, root in roots.items()}
    _drop_known(files, report)
    every = [file for part in files.values() for file in part]
    with ThreadPoolExecutor(usable_cores()) as pool:
        decoded = watch(pool.map(partial(_decoded, spec=spec), every), len(every), "images")
        images = _readable(folder, every, decoded, report)
    files = _split({part: [f for f in some if f in images] for part, some in files.items()}, names)
    if gray and all(_is_gray(pixels) for pixels in images.values()):
        spec = replace(spec, channels=1)
        images = {file: pixels[..., :1] for file, pixels in images.items()}
    _check_counts(folder, files, names, report)
    datasets = {
        part: Dataset(
            f"{folder.resolve().name} {part}",
            np.stack([images[file] for file in some]),
            np.array([file.label for file in some], np.int64),
            names,
        )
        for part, some in files.items()
    }
    return Splits(**datasets), spec


def _class_names(root: Path) -> tuple[str, ...]:
    names = tuple(sorted(entry.name for entry in root.iterdir() if _is_class(entry)))
    if not names:
        raise DataError(
            f"'{root}' (--data) has no folders in it; put each class's images into a folder of "
            "the class's name"
        )
    if len(names) == 1:
        raise DataError(
            f"'{root}' (--data) has one class only, {names[0]!r}; a classifier needs two or more"
        )
    return names


def _is_class(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _listed(
    root: Path, names: tuple[str, ...], seed: int, report: Callable[[str], None]
) -> list[_File]:
    """The image files of all classes, sorted by name; of equal ones in a class the first."""
    strange = sorted({entry.name for entry in root.iterdir() if _is_class(entry)} - set(names))
    if strange:
        raise DataError(
            f"'{root / strange[0]}': the training images have no class {strange[0]!r}; "
            "rename the folder, or take it out"
        )
    listed, seen = [], dict[bytes, _File]()
    for label, name in enumerate(names):
        paths = images_below(root / name) if (root / name).is_dir() else []
        for path in paths:
            try:
                content = path.read_bytes()
            except OSError as error:
                report(f"'{path}' cannot be read: {error.strerror}; left out")
                continue
            digest = hashlib.sha256(seed.to_bytes(8, "big") + content).digest()
            file = _File(path, label, digest)
            if (other := seen.get(digest)) is None:
                seen[digest] = file
                listed.append(file)
            elif other.label == label:
                report(f"'{path}' is the same image as '{other.path}'; left out")
            else:
                raise DataError(
                    f"'{path}' and '{other.path}' are the same image in two classes; "
                    "delete the wrong one"
                )
    return listed


def _drop_known(files: dict[str, list[_File]], report: Callable[[str], None]) -> None:
    """Take out of the training images what is in another part, and of validation what is test."""
    for part, others in (("validation", ("test",)), ("train", ("validation", "test"))):
        known = {file.digest: file.path for other in others for file in files.get(other, ())}
        for file in list(files.get(part, ())):
            if file.digest in known:
                report(f"'{file.path}' is the same image as '{known[file.digest]}'; left out")
                files[part].remove(file)


def _decoded(file: _File, spec: InputSpec) -> NDArray[np.uint8] | str:
    """The image at the network's size; or what is wrong with it."""
    try:
        image = open_image(file.path, "RGB", 8 * max(spec.width, spec.height))
        if min(image.size) < _SMALLEST:
            return (
                f"'{file.path}' has {image.width}x{image.height} pixels, fewer than "
                f"{_SMALLEST} on a side"
            )
        return to_pixels(image, spec)
    except ImageError as error:
        return str(error)


def _readable(
    folder: Path,
    files: list[_File],
    decoded: Iterable[NDArray[np.uint8] | str],
    report: Callable[[str], None],
) -> dict[_File, NDArray[np.uint8]]:
    images, wrong = {}, []
    for file, result in zip(files, decoded, strict=True):
        if isinstance(result, str):
            report(f"{result}; left out")
            wrong.append(result)
        else:
            images[file] = result
    if len(wrong) > _MOST_UNREADABLE * len(files):
        raise DataError(
            f"'{folder}' (--data): {len(wrong):,} of {len(files):,} files cannot be used, more "
            f"than {_MOST_UNREADABLE:.0%}; the first is: {wrong[0]}; mend or remove them"
        )
    return images


def _is_gray(pixels: NDArray[np.uint8]) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _split(files: dict[str, list[_File]], names: tuple[str, ...]) -> dict[str, list[_File]]:
    """All three parts; what is missing comes out of ``train``, of each class at least one."""
    parts = {part: list(files.get(part, ())) for part in _PARTS}
    missing = [part for part in ("validation", "test") if part not in files]
    for number, part in enumerate(missing):
        for label in range(len(names)):
            own = sorted((f for f in parts["train"] if f.label == label), key=lambda f: f.place)
            if len(own) < _FEWEST - number:
                continue  # said later, with the count
            upto = _SHARE * (number + 1)
            taken = [file for file in own if file.place < upto] or own[:1]
            parts[part] += taken
            gone = set(taken)
            parts["train"] = [file for file in parts["train"] if file not in gone]
    return {part: sorted(some, key=lambda file: file.path) for part, some in parts.items()}


def _check_counts(
    folder: Path,
    files: dict[str, list[_File]],
    names: tuple[str, ...],
    report: Callable[[str], None],
) -> None:
    counts = {part: Counter(file.label for file in some) for part, some in files.items()}
    for label, name in enumerate(names):
        if not counts["train"][label] or not any(counts[part][label] for part in _PARTS[1:]):
            total = sum(count[label] for count in counts.values())
            raise DataError(
                f"'{folder}' (--data): class {name!r} has {total} usable images; "
                f"{_FEWEST} or more are needed, and many more to learn anything"
            )
    for part, some in files.items():
        if not some:
            raise DataError(f"'{folder / part}' has no images; put some there, or remove it")
    most, fewest = (
        pick(range(len(names)), key=lambda label: counts["train"][label]) for pick in (max, min)
    )
    ratio = counts["train"][most] / counts["train"][fewest]
    if ratio >= 2:  # noqa: PLR2004
        report(
            f"classes are unequal: {names[most]!r} has {counts['train'][most]:,} training "
            f"images, {names[fewest]!r} {counts['train'][fewest]:,}; rarer ones count more"
        )
