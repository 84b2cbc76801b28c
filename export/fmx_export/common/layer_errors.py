"""How much noise quantization adds in each layer of a network: the measure, and its ranking.

Both formats are measured the same way. A layer is run twice on the same inputs, those that it gets
in the quantized network: as it is quantized, and in float. What the two answers differ by is the
layer's own doing, its rounded weights and biases and the rounding of what it gives; what the
layers before it did is in both. So a layer is not blamed for noise that it only passes on.

Signal and noise are compared channel by channel, and the channels count alike. How large a
channel's numbers are says nothing of what it is worth, as the next layer's weights can make up for
any scale; and a channel that drowns beside one a thousand times larger takes next to nothing from
the power of all channels together.
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
"""What the 24 bits of float32 resolve, in dB; a layer that loses less loses nothing."""


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """What one layer loses by being quantized."""

    layer: str
    """What quantizers know it by. ONNX: the node's name; TFLite: the name of its output."""
    tensor: str
    """The name of what it gives, which tells more than a node's."""
    operator: str
    """As the format calls it: ``Conv`` in ONNX, ``CONV_2D`` in TFLite."""
    snr_db: float
    """Signal over noise of what the layer gives, its weights' rounding included; 0 (nothing of the
    signal is left) to `EXACT_DB` (nothing is lost). About 6 dB are one bit."""
    weight_snr_db: float | None
    """Signal over noise of the layer's weights, at most `EXACT_DB`; None for a layer without
    weights, and where the format's tools do not tell."""
    exclude: tuple[str, ...]
    """The layers, this one first, that have to stay in float for the noise to go. Those that read
    what it gives are among them: for a quantized reader it would be rounded just so."""


def sort_by_error(errors: Sequence[LayerError]) -> tuple[LayerError, ...]:
    """The layers by what they lose, equal ones in the order of the graph."""
    return tuple(sorted(errors, key=lambda error: error.snr_db))


def channel_powers(exact: NDArray[np.float32], rounded: NDArray[np.float32]) -> NDArray[np.float64]:
    """Signal and noise by channel, as sums of squares, which add up over images.

    Args:
        exact: float32 ``(…, channels)``, what a layer gives in float.
        rounded: the same, quantized and dequantized.

    Returns:
        float64 ``(2, channels)``: of the signal, and of the noise.
    """
    both = np.stack([exact, rounded - exact]).astype(np.float64)
    powers: NDArray[np.float64] = np.square(both).reshape(2, -1, both.shape[-1]).sum(axis=1)
    return powers


def snr_db(powers: NDArray[np.float64]) -> float:
    """Signal over noise of a layer, 0 to `EXACT_DB`.

    Args:
        powers: float64 ``(2, channels)``, summed over the images, see `channel_powers`. Channels
            without a signal are left out; one with more noise than signal is lost, and not more.
    """
    signal, noise = powers[:, powers[0] > 0]
    if not noise.any():
        return EXACT_DB
    lost = np.minimum(noise / signal, 1).mean()
    return float(np.clip(-10 * np.log10(lost), 0, EXACT_DB))


def with_consumers(
    layer: str, readers: Mapping[str, Sequence[str]], pass_through_ops: Container[str]
) -> tuple[str, ...]:
    """A layer and whoever computes with what it gives.

    Args:
        layer: where to begin.
        readers: by a layer's name, the names of those that read what it gives.
        pass_through_ops: layers that hand on the numbers that they get; their readers count too.
    """
    found = [layer]
    for name in found:  # grows meanwhile
        if name == layer or name in pass_through_ops:
            found.extend(other for other in readers.get(name, ()) if other not in found)
    return tuple(found)
