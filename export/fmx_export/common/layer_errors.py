"""The quantization error of each layer: the measure, and the ranking of layers.

Both formats are measured the same way. Each layer is run twice on the same inputs, those that it
gets in the quantized network: once quantized, and once in float. The difference of the two outputs
is the layer's own error: from its rounded weights and biases, and from the rounding of its output.
The errors of the layers before it are in both outputs, so a layer is not charged for noise that it
only passes on.

Signal and noise are compared channel by channel, and all channels have the same weight. A
channel's magnitude says nothing about its importance, because the next layer's weights can make up
for any scale. In a sum over all channels, a channel whose values are a thousand times smaller than
its neighbor's would not count at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["EXACT_DB", "LayerError", "channel_powers", "snr_db", "sort_by_error", "with_consumers"]

EXACT_DB: float = 144.5
"""Signal-to-noise ratio of float32's 24-bit mantissa, in dB; a layer at this value is exact."""


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """The quantization error of one layer.

    Attributes:
        layer: the name that quantizers know it by: in ONNX the node's, in TFLite its output's.
        tensor: name of its output, which often says more than a node's name.
        operator: the format's name for its type: ``Conv`` in ONNX, ``CONV_2D`` in TFLite.
        snr_db: signal-to-noise ratio of its output, rounded weights included, from 0 (noise only)
            to `EXACT_DB` (no error). About 6 dB are one bit.
        weight_snr_db: signal-to-noise ratio of its weights, at most `EXACT_DB`; None for a layer
            without weights, and where the format's tools do not report it.
        exclude: the layers to exclude from quantization to remove this error: this layer first,
            then those that read its output. A quantized consumer would round the output again.
    """

    layer: str
    tensor: str
    operator: str
    snr_db: float
    weight_snr_db: float | None
    exclude: tuple[str, ...]


def sort_by_error(errors: Sequence[LayerError]) -> tuple[LayerError, ...]:
    """Sort layers by their error, the largest first; equal ones keep the order of the graph."""
    return tuple(sorted(errors, key=lambda error: error.snr_db))


def channel_powers(exact: NDArray[np.float32], rounded: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power of signal and noise by channel, as sums that add up over images.

    Args:
        exact: float32 ``(…, channels)``, output of the float layer.
        rounded: float32 of the same shape, dequantized output of the quantized layer.

    Returns:
        float64 ``(2, channels)``: sums of squares of the signal, and of the noise.
    """
    both = np.stack([exact, rounded - exact]).astype(np.float64)
    powers: NDArray[np.float64] = np.square(both).reshape(2, -1, both.shape[-1]).sum(axis=1)
    return powers


def snr_db(powers: NDArray[np.float64]) -> float:
    """Return a layer's signal-to-noise ratio in dB, from 0 to `EXACT_DB`.

    Args:
        powers: float64 ``(2, channels)``, sum of `channel_powers` over the images. Channels
            without signal are ignored; noise above a channel's signal counts as equal to it.
    """
    signal, noise = powers[:, powers[0] > 0]
    if not noise.any():
        return EXACT_DB
    noise_fraction = np.minimum(noise / signal, 1).mean()
    return float(np.clip(-10 * np.log10(noise_fraction), 0, EXACT_DB))


def with_consumers(
    layer: str, consumers: Mapping[str, Sequence[str]], pass_through: Container[str]
) -> tuple[str, ...]:
    """Return a layer and all layers that compute with its output.

    Args:
        layer: name of the layer.
        consumers: by a layer's name, the names of the layers that read its output.
        pass_through: layers that only pass on their input's values; their consumers are included.
    """
    found = [layer]
    for name in found:  # the list grows while it is read
        if name == layer or name in pass_through:
            found.extend(other for other in consumers.get(name, ()) if other not in found)
    return tuple(found)
