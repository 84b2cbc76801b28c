from __future__ import annotations

import numpy as np
import pytest

from fmx_runtime.labeled_images.digest import arrays_digest

IMAGES = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
LABELS = np.array([1, 0], np.int64)


def test_digest_is_pinned() -> None:
    """Run folders store digests, so that equal arrays must always give the same one."""
    assert arrays_digest(IMAGES, LABELS) == (
        "03457bd8cdd898486771c04b8998c448e81d270ba384d472b378f7dcecfc00dc"
    )


@pytest.mark.parametrize(
    "changed",
    [
        (IMAGES + np.uint8(1), LABELS),
        (IMAGES.reshape(2, 2, 3), LABELS),
        (IMAGES.view(np.int8), LABELS),
        (IMAGES, LABELS[::-1]),
        (LABELS, IMAGES),
        (IMAGES,),
    ],
    ids=["value", "shape", "dtype", "order", "order of arrays", "fewer arrays"],
)
def test_other_arrays_have_another_digest(changed: tuple[np.ndarray, ...]) -> None:
    """A changed value, shape, dtype or order changes the digest."""
    assert arrays_digest(*changed) != arrays_digest(IMAGES, LABELS)


def test_storage_does_not_matter() -> None:
    """Byte order and memory layout do not change the digest."""
    expected = arrays_digest(IMAGES, LABELS)
    assert arrays_digest(IMAGES, LABELS.astype(">i8")) == expected
    assert arrays_digest(np.asfortranarray(IMAGES), LABELS) == expected
    assert arrays_digest(IMAGES.repeat(2, axis=0)[::2], LABELS) == expected
