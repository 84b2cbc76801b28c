"""The accuracy gate: one config after another, until an int8 file answers well enough.

NNCF's ``quantize_with_accuracy_control`` follows the same idea, for ONNX alone; docs/export.md says
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

__all__ = ["MAX_ACCURACY_DROP", "Passed", "drop", "search"]

MAX_ACCURACY_DROP = 0.005
"""Largest loss of accuracy of a quantized file, as a fraction, where the user sets no other."""

_FLOAT_LAYERS = (1, 2, 4, 8)
"""How many of the worst layers are kept in float, one try after the other; beyond these there is
little left of int8."""


@dataclass(frozen=True)
class Passed:
    """The file of the first config that was good enough."""

    model: bytes
    config: QuantizationConfig


def drop(accuracy: Accuracy) -> float:
    """What a file loses against the Keras model, as a fraction.

    Where the images have no labels it is the share of other answers than Keras', which is what
    the loss of accuracy can be at most.
    """
    if accuracy.keras is None or accuracy.file is None:
        return round(1 - accuracy.agreement, 9)
    return round(accuracy.keras - accuracy.file, 9)  # 1 - 0.995 is a little more than 0.005


def search(
    quantizer: Quantizer,
    measure: Callable[[bytes, QuantizationConfig], Accuracy],
    *,
    max_accuracy_drop: float,
    progress: Callable[[str], None],
) -> tuple[Passed | None, tuple[Attempt, ...]]:
    """Try configs in order of what they cost on the device, the cheapest first.

    First each calibration with everything int8; then, with the calibration that did best, the
    worst layers in float: one, two, four, eight, as long as some arithmetic is left to integers.

    Args:
        quantizer: makes the files.
        measure: asks a file in its real runtime.
        max_accuracy_drop: largest loss of accuracy against the Keras model, as a fraction.
        progress: called with one line about each try.

    Returns:
        What passed, None if nothing did; and all that was tried, in its order.

    Raises:
        ExportError: the network cannot be quantized at all.
    """
    attempts: list[Attempt] = []

    def passes(config: QuantizationConfig) -> Passed | None:
        progress(f"int8 with {config.calibration} ranges{_kept(config)}")
        model = quantizer.quantize(config)
        if config.excluded_layers and not _multiplies_integers(model):
            return None  # it would pass, as int8 in name only
        accuracy = measure(model, config)
        passed = drop(accuracy) <= max_accuracy_drop
        attempts.append(
            Attempt(
                calibration=config.calibration,
                excluded_layers=config.excluded_layers,
                accuracy=accuracy,
                passed=passed,
            )
        )
        return Passed(model, config) if passed else None

    for method in METHODS:
        if found := passes(QuantizationConfig(method)):
            return found, tuple(attempts)
    best = min(attempts, key=lambda attempt: drop(attempt.accuracy)).calibration
    progress("looking for the layers that lose most")
    try:
        for layers in _growing(quantizer.layer_errors()):
            if found := passes(QuantizationConfig(best, layers)):
                return found, tuple(attempts)
    except ExportError as error:  # what was measured so far holds all the same
        progress(f"no layers are kept in float: {error}")
    return None, tuple(attempts)


def _growing(errors: Sequence[LayerError]) -> Iterator[tuple[str, ...]]:
    """The layers to keep in float, those of the worst first."""
    worst, before = sort_by_error(errors), tuple[str, ...]()
    for count in _FLOAT_LAYERS:
        kept = [layer for error in worst[:count] for layer in error.exclude]
        layers = tuple(dict.fromkeys(kept))
        if layers != before:
            yield layers
        before = layers


def _multiplies_integers(model: bytes) -> bool:
    """Whether some of the network's arithmetic is left to integers."""
    operators = read_graph(model).operators
    return any(node.multiply_accumulates and not node.is_float for node in operators)


def _kept(config: QuantizationConfig) -> str:
    if not config.excluded_layers:
        return ""
    return f", {len(config.excluded_layers)} layers in float"
