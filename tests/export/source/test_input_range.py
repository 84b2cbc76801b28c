from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.common.errors import InputRangeError
from fmx_export.source.image_arrays import ImageArray
from fmx_export.source.input_range import (
    fold_rescaling,
    infer_input_range,
    input_spec,
    stated_range,
)
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

SIZE = (28, 28, 1)


def network(*first: Any, functional: bool = False) -> Any:
    """These layers, and a small classifier behind them."""
    rest = (layers.Conv2D(4, 3, strides=2, activation="relu"), layers.Flatten(), layers.Dense(3))
    if not functional:
        return keras.Sequential([keras.Input(SIZE), *first, *rest])
    image = tensor = keras.Input(SIZE)
    for layer in (*first, *rest):
        tensor = layer(tensor)
    return keras.Model(image, tensor)


def normalization(deviation: float) -> Any:
    return layers.Normalization(mean=deviation, variance=deviation**2)


def branching() -> Any:
    """A Rescaling comes first, but the image goes another way as well."""
    image = keras.Input(SIZE)
    both = layers.Add()([layers.Rescaling(1 / 255)(image), layers.Conv2D(1, 1)(image)])
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(both)))


@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (lambda: [layers.Rescaling(1 / 255)], "0..255"),
        (lambda: [layers.RandomFlip(), layers.Rescaling(1 / 127.5, -1)], "0..255"),
        (lambda: [layers.Rescaling([1 / 255], [0.5])], "0..255"),
        (lambda: [normalization(73)], "0..255"),
        (lambda: [network(layers.Rescaling(1 / 255)), layers.Reshape((3, 1, 1))], "0..255"),
        (lambda: [layers.Rescaling(2, -1)], None),
        (lambda: [normalization(0.3)], None),
        (lambda: [layers.BatchNormalization(), layers.Rescaling(1 / 255)], None),
        (list, None),
    ],
    ids=["bytes", "flip", "list", "normal", "nested", "fractions", "small", "behind", "nothing"],
)
def test_a_network_that_rescales(first: Any, expected: str | None, *, functional: bool) -> None:
    """Whoever begins by shrinking values takes bytes, also in a model inside; others do not say."""
    parts = first()
    if expected and isinstance(parts[0], keras.Model):
        model = keras.Sequential([keras.Input(SIZE), parts[0]])
    else:
        model = network(*parts, functional=functional)
    assert stated_range(model) == expected


@pytest.mark.parametrize(
    "build", [keras.applications.MobileNetV3Small, keras.applications.EfficientNetB0]
)
def test_keras_own_networks(build: Any) -> None:
    """Networks that come with Keras and their own preprocessing take bytes, also as a part."""
    base = build(input_shape=(32, 32, 3), weights=None, include_top=False, pooling="avg")
    image = keras.Input((32, 32, 3))
    assert stated_range(keras.Model(image, layers.Dense(3)(base(image)))) == "0..255"


def test_an_input_of_bytes() -> None:
    """A network whose input is uint8 takes bytes."""
    image = keras.Input(SIZE, dtype="uint8")
    assert stated_range(keras.Model(image, layers.Dense(3)(layers.Flatten()(image)))) == "0..255"


def test_the_range_that_is_right_most_often(source: SourceModel, few: Splits) -> None:
    """The really trained network is right most often under the range that it was trained with."""
    hits = infer_input_range(source.model, source.path, few.train)
    assert next(iter(hits)) == "0..1"
    assert list(hits.values()) == sorted(hits.values(), reverse=True)
    assert hits["0..1"] > max(0.5, hits["-1..1"])
    chosen = input_spec(source.model, "0..1")
    assert (chosen.shape, chosen.scale, chosen.offset) == (source.spec.shape, 1 / 255, 0)


def test_of_equals_the_fitting_one(source: SourceModel, few: Splits) -> None:
    """A range that is right a little more often by chance is not taken if the answers fit badly.

    The real network without its biases is right equally often whatever the scale; one bias makes
    it wrong about some images under the range that it was trained with, and about none of them
    under the larger one.
    """
    model = keras.models.clone_model(source.model)
    model.set_weights(
        [weight if weight.ndim > 1 else 0 * weight for weight in source.model.get_weights()]
    )
    equal = infer_input_range(model, source.path, few.train)
    assert equal["0..1"] == equal["0..255"]
    assert next(iter(equal)) == "0..1"
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + 0.1 * np.arange(10)])
    unequal = infer_input_range(model, source.path, few.train)
    assert 0 < unequal["0..255"] - unequal["0..1"] < 0.01
    assert next(iter(unequal)) == "0..1"


def test_without_labels(source: SourceModel, few: Splits) -> None:
    """Images that nobody labeled tell no range: the option that does is named."""
    unlabeled = ImageArray("some", few.train.images[:10])
    with pytest.raises(
        InputRangeError, match=r"model\.keras' does not state its input range; add --input-range 0"
    ):
        infer_input_range(source.model, source.path, unlabeled)


@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0), (1 / 127.5, -1), (0.017, -2.1)])
def test_a_rescaling_goes_into_the_metadata(
    scale: float, offset: float, few: Splits, *, functional: bool
) -> None:
    """Without its Rescaling, and with the metadata's scale, the network answers the same."""
    model = network(layers.Rescaling(scale, offset), functional=functional)
    spec = input_spec(model, "0..255")
    images = few.test.images[:100]
    expected = model.predict(to_tensor(images, spec), verbose=0)
    rest, absorbed = fold_rescaling(model, spec)
    assert absorbed == dataclasses.replace(spec, scale=scale, offset=offset)
    assert not any(isinstance(layer, layers.Rescaling) for layer in rest.layers)
    answers = rest.predict(to_tensor(images, absorbed), verbose=0)
    assert np.abs(answers - expected).max() < 1e-6 * np.abs(expected).max()


def test_a_rescaling_of_fractions(few: Splits) -> None:
    """Where the pixels are fractions already, both scales go into the metadata."""
    model = network(layers.Rescaling(2, -1))
    spec = input_spec(model, "0..1")
    images = few.test.images[:100]
    rest, absorbed = fold_rescaling(model, spec)
    assert (absorbed.scale, absorbed.offset) == (pytest.approx(1 / 127.5), -1)
    expected = model.predict(to_tensor(images, spec), verbose=0)
    assert np.allclose(rest.predict(to_tensor(images, absorbed), verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: network(layers.Conv2D(1, 1)),
        lambda: network(layers.Rescaling([1 / 255])),
        lambda: network(layers.Rescaling(1 / 255, 0.5)),
        lambda: network(layers.Rescaling(-1 / 255, 1)),
        lambda: network(layers.RandomFlip(), layers.Rescaling(1 / 255)),
        branching,
    ],
    ids=["none", "per channel", "beside 0", "inverting", "not first", "branching"],
)
def test_what_stays_in_the_network(build: Any) -> None:
    """Any other beginning stays where it is."""
    model = build()
    spec = input_spec(model, "0..255")
    assert fold_rescaling(model, spec) == (model, spec)
