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
    """Return a small classifier that begins with these layers."""
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
    """Return a model with a Rescaling in one of two branches."""
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
    ids=[
        "rescaling",
        "flip first",
        "per channel",
        "normalization",
        "nested",
        "rescaling of 0..1",
        "normalization of 0..1",
        "behind batch normalization",
        "none",
    ],
)
def test_stated_range_of_first_layers(
    first: Any, expected: str | None, *, functional: bool
) -> None:
    """A model that first scales values down takes 0..255, also if nested; others state nothing."""
    parts = first()
    if expected and isinstance(parts[0], keras.Model):
        model = keras.Sequential([keras.Input(SIZE), parts[0]])
    else:
        model = network(*parts, functional=functional)
    assert stated_range(model) == expected


@pytest.mark.parametrize(
    "build", [keras.applications.MobileNetV3Small, keras.applications.EfficientNetB0]
)
def test_stated_range_of_keras_applications(build: Any) -> None:
    """Keras' own networks that contain their preprocessing take 0..255, also as a part."""
    base = build(input_shape=(32, 32, 3), weights=None, include_top=False, pooling="avg")
    image = keras.Input((32, 32, 3))
    assert stated_range(keras.Model(image, layers.Dense(3)(base(image)))) == "0..255"


def test_stated_range_of_integer_inputs() -> None:
    """A network with a uint8 input takes 0..255."""
    image = keras.Input(SIZE, dtype="uint8")
    assert stated_range(keras.Model(image, layers.Dense(3)(layers.Flatten()(image)))) == "0..255"


def test_the_most_accurate_range_comes_first(source: SourceModel, few: Splits) -> None:
    """The trained network is most accurate with the range that it was trained with."""
    accuracies = infer_input_range(source.model, source.path, few.train)
    assert next(iter(accuracies)) == "0..1"
    assert list(accuracies.values()) == sorted(accuracies.values(), reverse=True)
    assert accuracies["0..1"] > max(0.5, accuracies["-1..1"])
    chosen = input_spec(source.model, "0..1")
    assert (chosen.shape, chosen.scale, chosen.offset) == (source.spec.shape, 1 / 255, 0)


def test_chance_differences_are_decided_by_cross_entropy(source: SourceModel, few: Splits) -> None:
    """A range that is slightly more accurate by chance loses if its cross-entropy is larger.

    Without biases the network is equally accurate at any scale. With a small bias it misclassifies
    some more images in the range that it was trained with, and none in the larger range.
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


def test_images_without_labels_show_no_range(source: SourceModel, few: Splits) -> None:
    """Without labels the range cannot be inferred, and the error names the option for it."""
    unlabeled = ImageArray("some", few.train.images[:10])
    with pytest.raises(
        InputRangeError, match=r"model\.keras' does not state its input range; add --input-range 0"
    ):
        infer_input_range(source.model, source.path, unlabeled)


@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0), (1 / 127.5, -1), (0.017, -2.1)])
def test_a_rescaling_is_folded_into_the_spec(
    scale: float, offset: float, few: Splits, *, functional: bool
) -> None:
    """Without its Rescaling, and with the new spec, the model's outputs stay the same."""
    model = network(layers.Rescaling(scale, offset), functional=functional)
    spec = input_spec(model, "0..255")
    images = few.test.images[:100]
    expected = model.predict(to_tensor(images, spec), verbose=0)
    rest, folded = fold_rescaling(model, spec)
    assert folded == dataclasses.replace(spec, scale=scale, offset=offset)
    assert not any(isinstance(layer, layers.Rescaling) for layer in rest.layers)
    outputs = rest.predict(to_tensor(images, folded), verbose=0)
    assert np.abs(outputs - expected).max() < 1e-6 * np.abs(expected).max()


def test_a_rescaling_of_0_to_1_is_folded(few: Splits) -> None:
    """If the input range is 0..1 already, the new spec has the product of both scales."""
    model = network(layers.Rescaling(2, -1))
    spec = input_spec(model, "0..1")
    images = few.test.images[:100]
    rest, folded = fold_rescaling(model, spec)
    assert (folded.scale, folded.offset) == (pytest.approx(1 / 127.5), -1)
    expected = model.predict(to_tensor(images, spec), verbose=0)
    assert np.allclose(rest.predict(to_tensor(images, folded), verbose=0), expected, atol=1e-5)


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
    ids=["none", "per channel", "without 0", "inverting", "not first", "branching"],
)
def test_other_models_stay_unchanged(build: Any) -> None:
    """A model whose first layer cannot be folded is returned as it is."""
    model = build()
    spec = input_spec(model, "0..255")
    assert fold_rescaling(model, spec) == (model, spec)
