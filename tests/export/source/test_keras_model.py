from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.common import errors
from fmx_export.source.keras_model import check_model, load_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODULE = """
import keras
from keras import layers

{decorator}
class Net(keras.Model):
    def __init__(self, classes=3, **more):
        super().__init__(**more)
        self.classes = classes
        self.convolution = layers.Conv2D(4, 3, activation="relu")
        self.flatten = layers.Flatten()
        self.output_layer = layers.Dense(classes)

    def call(self, image):
        return self.output_layer(self.flatten(self.convolution(image)))

    def get_config(self):
        return {{**super().get_config(), "classes": self.classes}}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Import a new module with a subclassed model, registered or not."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def module(name: str, *, registered: bool) -> Any:
        decorator = f"@keras.saving.register_keras_serializable({name!r})" if registered else ""
        tmp_path.joinpath(f"{name}.py").write_text(MODULE.format(decorator=decorator), "utf-8")
        return __import__(name)

    return module


def classifier(image: Any, *, classes: int = 3) -> Any:
    """Return a small functional network with this input."""
    return keras.Model(image, layers.Dense(classes)(layers.Flatten()(image)))


def images(shape: tuple[int, ...]) -> Any:
    """Return four random float images."""
    return np.random.default_rng(0).random((4, *shape), dtype=np.float32)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_saved_models_load_unchanged(suffix: str, case: Any, tmp_path: Path) -> None:
    """Sequential and functional models load unchanged from both file formats."""
    path = tmp_path / f"model{suffix}"
    case.model.save(path)
    loaded = load_model(path)
    assert check_model(loaded, path) is loaded
    pixels = images(case.spec.shape)
    expected, outputs = (model.predict(pixels, verbose=0) for model in (case.model, loaded))
    assert np.array_equal(expected, outputs)


def test_a_registered_subclassed_model(module: Callable[..., Any], tmp_path: Path) -> None:
    """A subclassed model with a registered class becomes functional, with equal outputs."""
    model = module("registered_net", registered=True).Net()
    pixels = images((12, 16, 3))
    expected = model.predict(pixels, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    network = check_model(load_model(path), path)
    assert network.input_shape == (None, 12, 16, 3)
    assert network.output_shape == (None, 3)
    assert np.array_equal(expected, network.predict(pixels, verbose=0))


def test_unregistered_classes_need_trust(module: Callable[..., Any], tmp_path: Path) -> None:
    """An unregistered class is refused by name, and imported with ``allow_code``."""
    model = module("unregistered_net", registered=False).Net()
    pixels = images((12, 16, 3))
    expected = model.predict(pixels, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    del sys.modules["unregistered_net"]
    with pytest.raises(
        errors.UnknownObjectError, match=r"needs unregistered_net\.Net, which is not part"
    ):
        load_model(path)
    assert "unregistered_net" not in sys.modules
    network = check_model(load_model(path, allow_code=True), path)
    assert np.array_equal(expected, network.predict(pixels, verbose=0))


def test_missing_modules_are_named(
    module: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a trusted module cannot be imported, the error says where to put it."""
    model = module("missing_net", registered=False).Net()
    model(images((12, 16, 3)))
    path = tmp_path / "model.keras"
    model.save(path)
    monkeypatch.delitem(sys.modules, "missing_net")
    (tmp_path / "missing_net.py").unlink()
    message = r"needs missing_net\.Net, which cannot be imported: .*; add the folder of its module"
    with pytest.raises(errors.UnknownObjectError, match=message):
        load_model(path, allow_code=True)


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_custom_losses_are_ignored(suffix: str, tmp_path: Path) -> None:
    """The loss of the training is not loaded, so it needs neither registration nor trust."""
    model = classifier(keras.Input((8, 8, 1)))
    model.compile(loss=lambda target, output: keras.ops.sum((target - output) ** 2))
    path = tmp_path / f"model{suffix}"
    model.save(path)
    assert check_model(load_model(path), path).output_shape == (None, 3)


def test_a_single_tensor_in_a_dictionary() -> None:
    """A dictionary with one input or output tensor counts as that tensor."""
    image = keras.Input((12, 16, 3), name="image")
    inner = classifier(image)
    wrapped = keras.Model({"image": image}, {"classes": inner.output})
    network = check_model(wrapped, "model.keras")
    pixels = images((12, 16, 3))
    assert network.output_shape == (None, 3)
    assert np.array_equal(inner.predict(pixels, verbose=0), network.predict(pixels, verbose=0))


def two_inputs() -> Any:
    first, second = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    both = layers.Flatten()(layers.Add()([first, second]))
    return keras.Model([first, second], layers.Dense(3)(both))


def two_outputs() -> Any:
    image = keras.Input((8, 8, 1))
    flat = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(3)(flat), layers.Dense(3)(flat)])


def any_size() -> Any:
    image = keras.Input((None, None, 3))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(image)))


def segmenting() -> Any:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.Conv2D(4, 1)(image))


def with_nan_weights() -> Any:
    model = classifier(keras.Input((8, 8, 1)))
    kernel, bias = model.layers[-1].get_weights()
    kernel[3, 1], bias[0] = np.nan, np.inf
    model.layers[-1].set_weights([kernel, bias])
    model.layers[-1].name = "output"
    return model


BAD: list[tuple[Callable[[], Any], type[errors.KerasModelError], str]] = [
    (
        lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)]),
        errors.ModelNotBuiltError,
        "was saved before it was built; call the model once",
    ),
    (
        two_inputs,
        errors.MultipleInputsOutputsError,
        "has 2 inputs and 1 outputs; an image classifier has",
    ),
    (two_outputs, errors.MultipleInputsOutputsError, "has 1 inputs and 2 outputs"),
    (
        lambda: classifier(keras.Input((28, 28))),
        errors.NoImageInputError,
        r"shape \(None, 28, 28\), without channels; save .*Input\(\(28, 28, 1\)\).*Reshape",
    ),
    (lambda: classifier(keras.Input((9,))), errors.NoImageInputError, r"\(None, 9\); an image"),
    (
        lambda: classifier(keras.Input((8, 8, 4))),
        errors.NoImageInputError,
        "images have 1 channel",
    ),
    (lambda: classifier(keras.Input((3, 8, 8))), errors.NoImageInputError, r"Permute\(\(3, 1, 2"),
    (any_size, errors.NoImageInputError, r"with variable height or width; fix them: .*224, 224, 3"),
    (segmenting, errors.OutputShapeError, r"\(None, 8, 8, 4\); .*GlobalAveragePooling2D"),
    (
        lambda: classifier(keras.Input((8, 8, 1)), classes=1),
        errors.OutputShapeError,
        r"for two classes end it with Dense\(2, activation='softmax'\)",
    ),
    (with_nan_weights, errors.WeightsError, "1 of 192 values of 'kernel' in layer '.*' are NaN"),
]


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
@pytest.mark.parametrize(
    ("build", "kind", "message"), BAD, ids=[kind.__name__ for _, kind, _ in BAD]
)
def test_unsupported_models_are_refused(
    build: Callable[[], Any],
    kind: type[errors.KerasModelError],
    message: str,
    tmp_path: Path,
) -> None:
    """Each has its own error class, and one line with the file, the finding and the remedy."""
    path = tmp_path / "model.keras"
    build().save(path)
    with pytest.raises(kind, match=message) as caught:
        check_model(load_model(path), path)
    assert str(caught.value).startswith(f"'{path}'")
    assert "\n" not in str(caught.value)


def test_suggested_remedies_work() -> None:
    """Models that are changed as the messages suggest are accepted."""
    flat = classifier(keras.Input((28, 28)))
    with_channels = [keras.Input((28, 28, 1)), layers.Reshape((28, 28)), flat]
    check_model(keras.Sequential(with_channels), "model.keras")
    image = keras.Input((224, 224, 3))
    check_model(keras.Model(image, any_size()(image)), "model.keras")
    first = classifier(keras.Input((3, 8, 8)))
    permuted = keras.Sequential([keras.Input((8, 8, 3)), layers.Permute((3, 1, 2)), first])
    check_model(permuted, "model.keras")
