"""Decode many image files, and skip those that cannot be read."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fmx_runtime.errors import DataError, ImageError
from fmx_runtime.images.decode import open_image
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.support.cores import usable_cores

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["Watch", "check_unreadable", "decode_all", "no_progress"]

_MAX_UNREADABLE = 0.05
"""Share of the images that may be skipped because they cannot be used; one may in any case."""

_DECODED_PIXELS_PER_INPUT_PIXEL = 8
"""As in `fmx_runtime.images.preprocess`: more detail makes no difference."""


class Watch(Protocol):
    """Wraps an iterable to show progress."""

    def __call__(self, items: Iterable[Any], total: int, what: str, /) -> Iterable[Any]:
        """Return the items, of which there are ``total``; ``what`` describes them."""


def no_progress(items: Iterable[Any], total: int, what: str, /) -> Iterable[Any]:  # noqa: ARG001
    """Return the items."""
    return items


def decode_all(
    data: str,
    images: Sequence[str | os.PathLike[str]],
    spec: InputSpec,
    *,
    min_side: int,
    report: Callable[[str], None],
    watch: Watch,
) -> dict[int, NDArray[np.uint8]]:
    """Decode images in several threads.

    Args:
        data: name of the images, for messages.
        images: paths of image files.
        spec: the network's input.
        min_side: images with fewer pixels in width or height are skipped.
        report: called with one line about each image that is skipped.
        watch: see `Watch`.

    Returns:
        The pixels, uint8 ``spec.shape``, of each image that can be used, by its index.

    Raises:
        DataError: too many images cannot be used, or none can.
    """
    from concurrent.futures import ThreadPoolExecutor

    usable: dict[int, NDArray[np.uint8]] = {}
    problems: list[str] = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        work = functools.partial(_decode, spec=spec, min_side=min_side)
        decoded = watch(pool.map(work, images), len(images), "images")
        for index, result in enumerate(decoded):
            if isinstance(result, str):
                report(f"{result}; skipped")
                problems.append(result)
            else:
                usable[index] = result
    check_unreadable(data, problems, len(images))
    return usable


def check_unreadable(data: str, problems: Sequence[str], total: int) -> None:
    """Check that few enough images cannot be used.

    Args:
        data: name of the images, for the message.
        problems: what is wrong with each image that cannot be used.
        total: number of all images.

    Raises:
        DataError: there are too many, or no other ones.
    """
    if len(problems) == total or len(problems) > max(1, _MAX_UNREADABLE * total):
        raise DataError(
            f"'{data}': {len(problems):,} of {total:,} images cannot be used, more than "
            f"{_MAX_UNREADABLE:.0%}; the first: {problems[0]}; repair or remove them"
        )


def _decode(
    image: str | os.PathLike[str], spec: InputSpec, min_side: int
) -> NDArray[np.uint8] | str:
    """Return the image as the network's pixels, or what is wrong with it."""
    try:
        if min_side > 1:
            gray = spec.channels == 1 and spec.subject != "garment"
            mode: Literal["L", "RGB"] = "L" if gray else "RGB"
            opened = open_image(
                image, mode, _DECODED_PIXELS_PER_INPUT_PIXEL * max(spec.width, spec.height)
            )
            if min(opened.size) < min_side:
                return (
                    f"'{image}' has {opened.width}x{opened.height} pixels, fewer than {min_side} "
                    "in width or height"
                )
            return to_pixels(opened, spec)
        return to_pixels(image, spec)
    except ImageError as error:
        return str(error)
