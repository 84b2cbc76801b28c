"""Quantization configs."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from fmx_export.common.quantization_config import (
    METHODS,
    WEIGHT_BITS,
    Method,
    QuantizationConfig,
    Target,
)


def test_every_method_is_tried_and_the_cheapest_is_the_default() -> None:
    """The order of the methods holds each of them once, and begins with the default."""
    assert sorted(METHODS) == sorted(get_args(Method))
    assert QuantizationConfig() == QuantizationConfig(METHODS[0], ())


def test_every_target_has_weight_bits() -> None:
    """Weights have 8 bits where products cannot saturate, and 7 on x86-64."""
    assert WEIGHT_BITS == {"x86-64": 7, "arm64": 8}
    assert set(WEIGHT_BITS) == set(get_args(Target))


def test_configs_cannot_change() -> None:
    """A config that was measured stays what it was."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        QuantizationConfig().calibration = "entropy"  # type: ignore[misc]
