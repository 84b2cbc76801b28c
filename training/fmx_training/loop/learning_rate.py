"""The learning-rate schedule: linear warm-up, then half a cosine down to 0."""

from __future__ import annotations

from typing import Any

__all__ = ["warmup_cosine"]


def warmup_cosine(peak: float, steps: int, warmup_ratio: float = 0.0) -> Any:
    """Return the learning-rate schedule of a training.

    Args:
        peak: the highest learning rate.
        steps: number of optimizer steps of the whole training, 1 or more.
        warmup_ratio: fraction of these steps during which the learning rate rises from 0 to
            ``peak``, 0..1; with 0 the training starts at ``peak``.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`.
    """
    import keras

    warmup_steps = round(warmup_ratio * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else peak,
        steps - warmup_steps,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
