"""What the pipeline's tests share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from fmx_export.common.calibration import CalibrationSet
from fmx_export.pipeline import export as exporter
from fmx_export.pipeline.formats import FLOAT32, INT8

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmx_export.pipeline.manifest import Manifest
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits


@dataclass(frozen=True)
class UnlabeledImages:
    """Images without labels; implements `ValidationImages`."""

    name: str
    images: NDArray[np.uint8]
    labels: None = None


@pytest.fixture(scope="session")
def unlabeled() -> type[UnlabeledImages]:
    """The class of images without labels: ``unlabeled(name, images)``."""
    return UnlabeledImages


@pytest.fixture(scope="session")
def calibration(few: Splits) -> CalibrationSet:
    """100 real training images."""
    return CalibrationSet(few.train.images[:100], few.train.name, 0)


@pytest.fixture
def export(
    source: SourceModel, calibration: CalibrationSet, few: Splits, tmp_path: Path
) -> Callable[..., Manifest]:
    """Export the small trained model into ``made/export``; arguments are changed by name."""

    def export(**changes: Any) -> Manifest:
        options = {
            "formats": (*FLOAT32, *INT8),
            "calibration": calibration,
            "validation": few.validation,
            "folder": tmp_path / "made" / "export",
            "progress": lambda _: None,
            **changes,
        }
        return exporter.export(options.pop("source", source), **options)

    return export
