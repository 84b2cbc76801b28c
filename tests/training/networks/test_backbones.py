"""Networks of keras.applications for transfer learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from fmx_runtime.errors import DataError
from fmx_training.networks import backbones

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (32, 32, 3)


def test_weights_from_a_file(tmp_path: Path) -> None:
    """The layers of the backbone have the weights of the file; the classification head is new."""
    keras.utils.set_random_seed(7)
    body = keras.applications.MobileNet(include_top=False, input_shape=SHAPE, weights=None)
    body.save_weights(tmp_path / "mine.weights.h5")
    model = backbones.build("MobileNet", SHAPE, 4, str(tmp_path / "mine.weights.h5"))
    pairs = zip(body.get_weights(), model.get_weights(), strict=False)
    assert all(np.array_equal(one, other) for one, other in pairs)
    scores = model.predict(np.zeros((2, *SHAPE), np.float32), verbose=0)
    assert scores.shape == (2, 4)
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_weights_of_another_network(tmp_path: Path) -> None:
    """Weights of another network, and a file without weights, are one line with the remedy."""
    other = keras.applications.MobileNetV2(include_top=False, input_shape=SHAPE, weights=None)
    other.save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "text.weights.h5").write_text("no weights", "utf-8")
    for name in ("other", "text"):
        with pytest.raises(
            DataError, match=r"cannot load .* of MobileNet .*give weights of"
        ) as caught:
            backbones.build("MobileNet", SHAPE, 4, str(tmp_path / f"{name}.weights.h5"))
        assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network connection, one line names the alternatives."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", _unreachable)
    monkeypatch.setattr("keras.src.applications.mobilenet.file_utils.get_file", _unreachable)
    with pytest.raises(DataError, match=r"'imagenet' of MobileNet .*--weights none"):
        backbones.build("MobileNet", (128, 128, 3), 4, "imagenet")


def _unreachable(*_: object, **__: object) -> None:
    raise OSError("Network is unreachable")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ResNet1000", 64, "none"), r"no backbone 'ResNet1000'; choose MobileNet or "),
        (("MobileNet", 16, "none"), r"MobileNet takes images of 32 pixels or more"),
        (("Xception", 64, "none"), r"Xception takes images of 71 pixels or more"),
        (("MobileNet", 64, "gone.h5"), r"'gone\.h5' \(--weights\) does not exist"),
    ],
)
def test_check_refuses(arguments: tuple[str, int, str], message: str) -> None:
    """Unknown networks, too small images and missing files are found before images are read."""
    with pytest.raises(DataError, match=message):
        backbones.check(*arguments)
