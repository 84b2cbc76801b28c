"""On the device: what was prepared for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def here(prepared_folder: Path | None) -> Path:
    """The prepared folder."""
    if prepared_folder is None:
        pytest.skip("only on a device, which 'make test-arm64' and 'make test-armhf' emulate")
    return prepared_folder
