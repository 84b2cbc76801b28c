"""What runs learn from: gathered anew, or found again for a run that there is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_cli.terminal import note, watch
from fmx_runtime.errors import DataError
from fmx_training import fashion_mnist, kept, photographs, picture_folders
from fmx_training.examples import joined, of_dataset, of_unequal_classes

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.card import InputSpec
    from fmx_training.dataset import Splits
    from fmx_training.examples import Examples
    from fmx_training.run import Run

__all__ = ["Material", "again", "of_clothes", "of_own"]


@dataclass(frozen=True)
class Material:
    """The pictures of a run.

    Attributes:
        splits: to learn from, to choose by, and to measure with.
        photographs: to learn from as well.
        own: whether they are the user's, which the run has to keep.
    """

    splits: Splits
    photographs: Examples | None = None
    own: bool = False

    @functools.cached_property
    def examples(self) -> Examples:
        """All that is learnt from."""
        if self.own:
            return of_unequal_classes(self.splits.train)
        examples = of_dataset(self.splits.train)
        return joined([examples, self.photographs]) if self.photographs else examples

    def keep(self, folder: Path) -> None:
        """Write what cannot be found again into a run's folder."""
        if self.own:
            kept.keep_splits(folder, self.splits)
        if self.photographs:
            kept.keep_photographs(folder, self.photographs)


def of_clothes(data_dir: Path | None, photos: Path | None, spec: InputSpec) -> Material:
    """Fashion-MNIST, and photographs of clothes if a folder of them is given."""
    splits = fashion_mnist.load(data_dir)
    if photos is None:
        return Material(splits)
    taken = photographs.read(photos, spec, splits.train.class_names, watch=watch, report=note)
    return Material(splits, taken)


def of_own(folder: Path, spec: InputSpec, seed: int, *, gray: bool) -> tuple[Material, InputSpec]:
    """The user's pictures, and the spec of the network's input.

    Args:
        folder: see `fmx_training.picture_folders`.
        spec: of an input in colour.
        seed: of the split.
        gray: whether the input may be gray, where all pictures are.
    """
    splits, spec = picture_folders.read(folder, spec, seed, gray=gray, watch=watch, report=note)
    return Material(splits, own=True), spec


def again(run: Run, data_dir: Path | None) -> Material:
    """What a run was begun with.

    Raises:
        DataError: it is not there any more.
    """
    if splits := kept.splits(run.folder):
        if data_dir:
            raise DataError(
                f"'{run.folder}' keeps its own pictures; --data-dir is for Fashion-MNIST"
            )
        return Material(splits, own=True)
    splits = fashion_mnist.load(data_dir)
    if splits.train.digest() != run.info.data_digest:
        raise DataError(
            f"'{run.folder}' was begun with other training data than {splits.train.name} now"
        )
    return Material(splits, kept.photographs(run.folder, run.info.labels))
