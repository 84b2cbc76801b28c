from __future__ import annotations

import numpy as np

from fmx_runtime.support import packages


def test_versions() -> None:
    """Installed distributions come with their versions in the order given, others not at all."""
    versions = packages.versions("pillow", "no-such-package", "numpy")
    assert list(versions) == ["pillow", "numpy"]
    assert versions["numpy"] == np.__version__


def test_no_versions() -> None:
    """Of nothing, and of what is not installed, there are none."""
    assert packages.versions() == {}
    assert packages.versions("no-such-package") == {}
