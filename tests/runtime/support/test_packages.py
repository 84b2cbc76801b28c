from __future__ import annotations

import numpy as np

from fmx_runtime.support import packages


def test_versions() -> None:
    """Installed distributions are returned in the order given; others are left out."""
    versions = packages.versions("pillow", "no-such-package", "numpy")
    assert list(versions) == ["pillow", "numpy"]
    assert versions["numpy"] == np.__version__


def test_no_versions() -> None:
    """No names, and names of missing packages, give an empty result."""
    assert packages.versions() == {}
    assert packages.versions("no-such-package") == {}
