"""Accuracy control: search the quantization config whose int8 file is accurate enough.

NNCF's ``quantize_with_accuracy_control`` follows the same idea, for ONNX only; docs/export.md says
why it is not used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_export.common.layer_errors import sort_by_error
from fmx_export.common.quantization_config import METHODS, QuantizationConfig
from fmx_export.pipeline.manifest import Attempt
from fmx_export.pipeline.read_graph import read_graph
from fmx_runtime.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fmx_export.common.layer_errors import LayerError
    from fmx_export.common.quantizer import Quantizer
    from fmx_runtime.model_file.metadata import Accuracy

__all__ = ["MAX_ACCURACY_DROP", "QuantizedModel", "accuracy_drop", "search_config"]

MAX_ACCURACY_DROP = 0.005
"""Default of the largest allowed accuracy drop of a quantized file, as a fraction."""

_EXCLUDED_COUNTS = (1, 2, 4, 8)
"""Numbers of the worst layers that are excluded from quantization, one attempt after the other.
With more, little of the model would still be int8."""


@dataclass(frozen=True)
class QuantizedModel:
    """An int8 model without metadata, and the config that it was quantized with."""

    model: bytes
    config: QuantizationConfig


def accuracy_drop(accuracy: Accuracy) -> float:
    """Return the accuracy drop of a file against the Keras model, as a fraction.

    For images without labels, the share of images with another label than the Keras model's is
    returned. The accuracy cannot drop by more than that.
    """
    if accuracy.keras is None or accuracy.file is None:
        drop = 1 - accuracy.agreement
    else:
        drop = accuracy.keras - accuracy.file
    return round(drop, 9)  # in floating point, 1 - 0.995 is larger than 0.005


def search_config(
    quantizer: Quantizer,
    measure: Callable[[bytes, QuantizationConfig], Accuracy],
    *,
    max_accuracy_drop: float,
    progress: Callable[[str], None],
) -> tuple[QuantizedModel | None, tuple[Attempt, ...]]:
    """Try quantization configs in order of their cost on the device, the cheapest first.

    First each calibration method is tried with all layers quantized. Then, with the calibration
    method that did best, the worst layers are excluded from quantization: one, two, four, eight,
    as long as some of the arithmetic stays int8.

    Args:
        quantizer: quantizes the model with a config.
        measure: measures a quantized model in its real runtime.
        max_accuracy_drop: largest allowed accuracy drop, as a fraction.
        progress: called with one line about each attempt.

    Returns:
        The first model that is accurate enough, None if none is, and all attempts in order.

    Raises:
        ExportError: the model cannot be quantized at all.
    """
    attempts: list[Attempt] = []

    def try_config(config: QuantizationConfig) -> QuantizedModel | None:
        progress(_describe(config))
        model = quantizer.quantize(config)
        if config.excluded_layers and not _has_int8_arithmetic(model):
            return None  # accurate enough, but only because nothing is computed in int8
        accuracy = measure(model, config)
        passed = accuracy_drop(accuracy) <= max_accuracy_drop
        attempts.append(
            Attempt(
                calibration=config.calibration,
                excluded_layers=config.excluded_layers,
                accuracy=accuracy,
                passed=passed,
            )
        )
        return QuantizedModel(model, config) if passed else None

    for method in METHODS:
        if accepted := try_config(QuantizationConfig(method)):
            return accepted, tuple(attempts)
    best = min(attempts, key=lambda attempt: accuracy_drop(attempt.accuracy)).calibration
    progress("measuring the quantization error of each layer")
    try:
        for layers in _layers_to_exclude(quantizer.layer_errors()):
            if accepted := try_config(QuantizationConfig(best, layers)):
                return accepted, tuple(attempts)
    except ExportError as error:  # the attempts so far still count
        progress(f"no layer is excluded from quantization: {error}")
    return None, tuple(attempts)


def _layers_to_exclude(errors: Sequence[LayerError]) -> Iterator[tuple[str, ...]]:
    """Yield the layers to exclude in each further attempt, more each time."""
    worst, previous = sort_by_error(errors), tuple[str, ...]()
    for count in _EXCLUDED_COUNTS:
        layers = tuple(dict.fromkeys(name for error in worst[:count] for name in error.exclude))
        if layers != previous:
            yield layers
        previous = layers


def _has_int8_arithmetic(model: bytes) -> bool:
    operators = read_graph(model).operators
    return any(node.multiply_accumulates and not node.is_float for node in operators)


def _describe(config: QuantizationConfig) -> str:
    """Return the line about an attempt."""
    count = len(config.excluded_layers)
    excluded = f", {count} layer{'s' * (count > 1)} excluded" if count else ""
    return f"int8 with {config.calibration} calibration{excluded}"
