"""What several tests of this room need: the real pictures, read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_training import fashion_mnist

if TYPE_CHECKING:
    from fmx_training.dataset import Splits


@pytest.fixture(scope="session")
def found() -> fashion_mnist.Found:
    """Where the real files lie on this machine; fetched into the user's cache if need be."""
    return fashion_mnist.find()


@pytest.fixture(scope="session")
def splits(found: fashion_mnist.Found) -> Splits:
    """The real pictures."""
    return fashion_mnist.read(found)
