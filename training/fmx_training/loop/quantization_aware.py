"""Quantization-aware fine-tuning: a plain network learns to answer in int8 as it does in float.

Weights and activations are rounded as in the int8 file, and gradients pass as if they were not
(Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv:1712.05877, section 3). Wanted are the network's own answers in float, so labels
play no part.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from fmx_training.data.augmentation import View
from fmx_training.data.batches import batches
from fmx_training.loop.distillation import ask
from fmx_training.loop.progress import EpochBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_training.data.examples import Examples
    from fmx_training.run_folder import RunInfo

__all__ = ["fine_tune", "rounding"]

_LEARNING_RATE = 3e-4
_MEMORY = 0.99
"""Share of an activation's range that a batch leaves as it is."""


def fine_tune(
    model: Any, info: RunInfo, examples: Examples, *, report: Callable[[str], None]
) -> None:
    """Change the weights of a trained network so that rounding does it no harm.

    Args:
        model: a Keras model of `fmx_training.networks.fuse_batch_norm.fuse_batch_norm`; its weights change.
        info: of the run that trained it; ``recipe.int8_epochs`` says for how many epochs.
        examples: the run's; their targets are not looked at.
        report: called with one line about each epoch.
    """
    recipe = info.recipe
    rounded = rounding(model)
    steps = math.ceil(len(examples) / recipe.batch_size) * recipe.int8_epochs
    schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
    rounded.compile(keras.optimizers.Adam(schedule), "kl_divergence", metrics=["accuracy"])
    for epoch in range(recipe.int8_epochs):
        began = time.perf_counter()
        seed = (info.seed, info.epochs + epoch)
        view = View(examples.images, recipe.augmentation, seed)
        wanted = ask(model, info.input, view)
        order = np.random.default_rng(seed).permutation(len(examples))
        learnt = batches(view, wanted, info.input, recipe.batch_size, order)
        name = f"int8 epoch {epoch + 1}/{recipe.int8_epochs}"
        with contextlib.closing(EpochBar(name, int(learnt.cardinality()))) as bar:
            figures = rounded.fit(learnt, shuffle=False, callbacks=[bar], verbose=0).history
        report(
            f"{name}  as in float: {figures['accuracy'][0]:.2%} of the training images  "
            f"{time.perf_counter() - began:.0f} s"
        )
    _copy(rounded, model)


def rounding(model: Any) -> Any:
    """The same network with weights and activations rounded as int8 kernels have them.

    Weights have one scale for each output channel, activations one for each layer, from 0 to the
    highest value, of which a running mean is kept while learning. An image's bytes are exact.

    Args:
        model: a Keras model of `fmx_training.networks.fuse_batch_norm.fuse_batch_norm`.

    Returns:
        Keras model with weights of its own, equal to ``model``'s; activations have no range, and
        stay 0, before it has learnt from a batch.
    """
    rounded = keras.models.clone_model(
        model, clone_function=_with_rounded_weights, call_function=_with_rounded_output
    )
    _copy(model, rounded)
    return rounded


class _Convolution(layers.Conv2D):  # type: ignore[misc]
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, _rounded(kernel))


class _Answer(layers.Dense):  # type: ignore[misc]
    def call(self, inputs: Any, training: Any = None) -> Any:  # noqa: ARG002 (Keras passes it)
        return self.activation(tf.matmul(inputs, _rounded(self.kernel)) + self.bias)


class _Activations(layers.Layer):  # type: ignore[misc]
    """Values of 0 or more, rounded to 8 bits."""

    def build(self, input_shape: Any) -> None:  # noqa: ARG002 (Keras passes it)
        self.highest = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any, *, training: bool = False) -> Any:
        if training:
            now = tf.reduce_max(inputs)
            mean = self.highest * _MEMORY + now * (1 - _MEMORY)
            self.highest.assign(tf.where(self.highest > 0, mean, now))
        return tf.quantization.fake_quant_with_min_max_vars(inputs, 0.0, self.highest)


def _rounded(kernel: Any) -> Any:
    """Weights as int8 with one scale for each output channel, -127 to 127."""
    largest = tf.reduce_max(tf.abs(kernel), axis=tuple(range(len(kernel.shape) - 1)))
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, narrow_range=True
    )


def _with_rounded_weights(layer: Any) -> Any:
    kinds: dict[Any, Any] = {layers.Conv2D: _Convolution, layers.Dense: _Answer}
    return kinds.get(type(layer), type(layer)).from_config(layer.get_config())


def _with_rounded_output(layer: Any, *inputs: Any, **options: Any) -> Any:
    outputs = layer(*inputs, **options)
    return outputs if isinstance(layer, _Answer) else _Activations()(outputs)


def _copy(source: Any, target: Any) -> None:
    pairs = zip(source.trainable_variables, target.trainable_variables, strict=True)
    for variable, copy in pairs:
        copy.assign(variable)
