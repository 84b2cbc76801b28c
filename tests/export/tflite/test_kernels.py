"""The difference of the two implementations of int8 kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.kernels import kernel_difference
from fmx_export.tflite.quantizer import TFLiteQuantizer

if TYPE_CHECKING:
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits


@pytest.fixture(scope="module")
def model(source: SourceModel, few: Splits) -> bytes:
    """The trained network in int8."""
    floats = export_tflite(source.model, spec=source.spec)
    quantizer = TFLiteQuantizer(source.model, floats, source.spec, few.train.images[:20])
    return quantizer.quantize(QuantizationConfig())


def test_kernels_round_differently(model: bytes, few: Splits) -> None:
    """Most outputs are equal, some a few steps apart; other images in the batch do not matter."""
    images = few.test.images[:300]
    difference = kernel_difference(model, images)
    assert difference.shape == (300,)
    assert np.count_nonzero(difference == 0) > 150
    assert 0 < difference.max() < 26  # of 256, a tenth
    largest = int(difference.argmax())
    alone = kernel_difference(model, images[largest : largest + 1])
    assert alone.tolist() == [difference[largest]]
