"""Float32 TFLite files, run in the real interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.convert import export_tflite, quantizing_converter
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

    Run = Callable[[bytes, NDArray[Any]], NDArray[np.float32]]


def test_everything_is_float32(case: SourceModel, tflite_floats: bytes) -> None:
    """Input is one float image, output one float row, and nothing is quantized."""
    graph = read_graph(tflite_floats)
    assert [(x.dtype, x.shape) for x in graph.inputs] == [("float32", (1, *case.spec.shape))]
    assert [(x.dtype, x.shape) for x in graph.outputs] == [("float32", (1, len(case.labels)))]
    assert graph.totals.float_operators == graph.totals.operators
    assert {item.weights.dtype for item in graph.operators if item.weights} == {"float32"}


def test_only_built_in_operators(tflite_floats: bytes) -> None:
    """No operator is custom or from TensorFlow, so that every TFLite interpreter has them."""
    operators = {item.type for item in read_graph(tflite_floats).operators}
    assert not {name for name in operators if name.startswith(("CUSTOM", "Flex"))}


def test_outputs_are_those_of_keras(
    case: SourceModel,
    tflite_floats: bytes,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_tflite: Run,
) -> None:
    """For 200 real images no output differs from Keras' by more than 1e-4."""
    found = run_tflite(tflite_floats, to_tensor(images, case.spec))
    assert len(found) == 200
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_the_same_model_gives_the_same_bytes(case: SourceModel, tflite_floats: bytes) -> None:
    """Converting again in the same process gives an equal file."""
    assert export_tflite(case.model, spec=case.spec) == tflite_floats


def test_quantizing_converter(source: SourceModel, few: Splits, run_tflite: Run) -> None:
    """TensorFlow's own converter makes all operators int8, with a small error."""
    converter = quantizing_converter(source.model, source.spec, few.train.images[:100])
    content = converter.convert()
    graph = read_graph(content)
    assert {item.weights.dtype for item in graph.operators if item.weights} == {"int8"}
    assert graph.totals.float_operators == 0
    tensors = to_tensor(few.test.images[:100], source.spec)
    expected = source.model.predict(tensors, verbose=0)
    error = np.abs(run_tflite(content, tensors) - expected).mean()
    assert error < 0.1 * expected.std(axis=0).mean()


def test_failed_conversion_is_one_line(unconvertible: Any, source: SourceModel) -> None:
    """For a network with Python code the error has precision and reason in one line."""
    with pytest.raises(ExportError, match=r"cannot convert to float32 TFLite: .*PyFunc") as caught:
        export_tflite(unconvertible, spec=source.spec)
    assert "\n" not in str(caught.value)
