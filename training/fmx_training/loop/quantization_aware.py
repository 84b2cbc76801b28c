"""Quantization-aware fine-tuning: adapt a trained plain network to int8.

Weights and activations are rounded as in the int8 file, and gradients pass through the rounding
unchanged (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", arXiv:1712.05877, section 3). The targets are the network's own
float predictions; labels are not used.
"""

# Written by hand: tensorflow-model-optimization, which has this, does not support Keras 3, and
# Keras' own int8 quantization quantizes after training.

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
from fmx_training.loop.distillation import predict
from fmx_training.loop.learning_rate import warmup_cosine
from fmx_training.loop.progress import EpochProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_training.data.training_examples import Examples
    from fmx_training.run_folder import RunInfo

__all__ = ["fine_tune", "insert_fake_quantization"]

_LEARNING_RATE = 3e-4
_RANGE_MOMENTUM = 0.99
"""Of the moving average of each activation's largest value."""


def fine_tune(
    model: Any, info: RunInfo, examples: Examples, *, report: Callable[[str], None]
) -> None:
    """Fine-tune the weights of a trained network, in place, for int8 inference.

    Args:
        model: a Keras model from `fmx_training.networks.fuse_batch_norm`; its weights change.
        info: of the run that trained it; ``recipe.quantization_aware_epochs`` is the number of
            epochs.
        examples: the training examples of the run; their targets are not used.
        report: called with one line about each epoch.
    """
    recipe = info.recipe
    epochs = recipe.quantization_aware_epochs
    quantized = insert_fake_quantization(model)
    steps = math.ceil(len(examples) / recipe.batch_size) * epochs
    optimizer = keras.optimizers.Adam(warmup_cosine(_LEARNING_RATE, steps))
    quantized.compile(optimizer, "kl_divergence", metrics=["accuracy"])
    for epoch in range(epochs):
        start = time.perf_counter()
        seed = (info.seed, info.epochs + epoch)
        view = View(examples.images, recipe.augmentation, seed)
        targets = predict(model, info.input, view)
        order = np.random.default_rng(seed).permutation(len(examples))
        training_batches = batches(view, targets, info.input, recipe.batch_size, order)
        name = f"int8 epoch {epoch + 1}/{epochs}"
        bar = EpochProgressBar(name, int(training_batches.cardinality()))
        with contextlib.closing(bar):
            logs = quantized.fit(
                training_batches, shuffle=False, callbacks=[bar], verbose=0
            ).history
        report(
            f"{name}  same label as in float: {logs['accuracy'][0]:.2%} of the training images  "
            f"{time.perf_counter() - start:.0f} s"
        )
    _copy_weights(quantized, model)


def insert_fake_quantization(model: Any) -> Any:
    """Return a copy of a network that rounds weights and activations as int8 kernels do.

    Weights have one scale per output channel. Activations have one scale per layer, for the range
    from 0 to their largest value, of which a moving average is kept during training. The input is
    not rounded, because the bytes of an image are exact.

    Args:
        model: a Keras model from `fmx_training.networks.fuse_batch_norm`.

    Returns:
        A Keras model with a copy of the weights. Its activations have no range, and are all 0,
        until it was called once with ``training=True``.
    """
    quantized = keras.models.clone_model(
        model, clone_function=_fake_quantized_layer, call_function=_fake_quantized_call
    )
    _copy_weights(model, quantized)
    return quantized


class FakeQuantConv2D(layers.Conv2D):  # type: ignore[misc]
    """Convolution with rounded weights."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve with the rounded kernel."""
        return super().convolution_op(inputs, _fake_quantize_weights(kernel))


class FakeQuantDense(layers.Dense):  # type: ignore[misc]
    """Dense layer with rounded weights."""

    def call(self, inputs: Any, training: Any = None) -> Any:  # noqa: ARG002 (Keras passes it)
        """Multiply by the rounded kernel."""
        kernel = _fake_quantize_weights(self.kernel)
        return self.activation(tf.matmul(inputs, kernel) + self.bias)


class FakeQuantActivation(layers.Layer):  # type: ignore[misc]
    """Rounds activations, 0 or more, to 8 bits."""

    def build(self, input_shape: Any) -> None:  # noqa: ARG002 (Keras passes it)
        """Add the largest value of the range, 0 for unknown."""
        self.largest = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any, *, training: bool = False) -> Any:
        """Update the range while training, then round."""
        if training:
            batch_largest = tf.reduce_max(inputs)
            mean = self.largest * _RANGE_MOMENTUM + batch_largest * (1 - _RANGE_MOMENTUM)
            self.largest.assign(tf.where(self.largest > 0, mean, batch_largest))
        return tf.quantization.fake_quant_with_min_max_vars(inputs, 0.0, self.largest)


def _fake_quantize_weights(kernel: Any) -> Any:
    """Round a kernel to int8, -127 to 127, with one scale per output channel."""
    largest = tf.reduce_max(tf.abs(kernel), axis=tuple(range(len(kernel.shape) - 1)))
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, narrow_range=True
    )


def _fake_quantized_layer(layer: Any) -> Any:
    """Return a copy of a layer that rounds its weights."""
    kinds: dict[Any, Any] = {layers.Conv2D: FakeQuantConv2D, layers.Dense: FakeQuantDense}
    return kinds.get(type(layer), type(layer)).from_config(layer.get_config())


def _fake_quantized_call(layer: Any, *inputs: Any, **options: Any) -> Any:
    """Call a layer and round its output, unless that is the network's own output."""
    outputs = layer(*inputs, **options)
    return outputs if isinstance(layer, FakeQuantDense) else FakeQuantActivation()(outputs)


def _copy_weights(source: Any, target: Any) -> None:
    pairs = zip(source.trainable_variables, target.trainable_variables, strict=True)
    for variable, copy in pairs:
        copy.assign(variable)
