"""The Keras model's predictions, which exported files are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.source.reference_predictions import predict_reference
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits


def test_probabilities_are_recognized(source: SourceModel, few: Splits) -> None:
    """Rows that sum to 1 are probabilities, and are those of Keras' ``predict``."""
    reference = predict_reference(source.model, source.spec, few.validation)
    tensor = to_tensor(reference.images.images, source.spec)
    assert reference.output == "probabilities"
    assert np.array_equal(reference.probabilities, source.model.predict(tensor, 256, verbose=0))


def test_logits_are_recognized(source: SourceModel, few: Splits) -> None:
    """Other outputs are logits, and their softmax gives the probabilities."""
    model = keras.Sequential([source.model, layers.Lambda(keras.ops.log)])
    reference = predict_reference(model, source.spec, few.validation)
    assert reference.output == "logits"
    expected = predict_reference(source.model, source.spec, few.validation).probabilities
    np.testing.assert_allclose(reference.probabilities, expected, atol=1e-6)


def test_model_with_nan_is_refused(source: SourceModel, few: Splits) -> None:
    """A model with NaN in its weights is an error before anything is converted."""
    model = keras.models.clone_model(source.model)
    weights = source.model.get_weights()
    weights[-1][0] = np.nan
    model.set_weights(weights)
    with pytest.raises(ExportError, match=r"Keras model returns NaN or infinity for 500 of 500"):
        predict_reference(model, source.spec, few.validation)
