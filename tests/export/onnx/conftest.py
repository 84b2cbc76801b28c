"""int8 ONNX models of the export tests' networks, made with the steps of `OnnxQuantizer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.calibrate import calibrate_onnx
from fmx_export.onnx.quantize import prepare_onnx, quantize_onnx
from fmx_export.onnx.uint8_input import to_uint8_input

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fmx_export.common.quantization_config import Target
    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import InputSpec


@pytest.fixture(scope="session")
def prepared(onnx_floats: onnx.ModelProto) -> onnx.ModelProto:
    """The case's float model, prepared for quantization; tests must not change it."""
    return prepare_onnx(onnx_floats)


@pytest.fixture(scope="session")
def quantize() -> Callable[..., onnx.ModelProto]:
    """Quantize a prepared model: ``quantize(prepared, spec, images, config, target)``."""

    def quantize(
        prepared: onnx.ModelProto,
        spec: InputSpec,
        images: NDArray[np.uint8],
        config: QuantizationConfig | None = None,
        target: Target = "x86-64",
    ) -> onnx.ModelProto:
        config = config or QuantizationConfig()
        ranges = calibrate_onnx(prepared, spec=spec, calibration=images, config=config)
        quantized = quantize_onnx(prepared, spec=spec, ranges=ranges, config=config, target=target)
        return to_uint8_input(quantized, spec)

    return quantize


@pytest.fixture(scope="session")
def int8_model(
    prepared: onnx.ModelProto,
    case: SourceModel,
    sample: NDArray[np.uint8],
    quantize: Callable[..., onnx.ModelProto],
) -> onnx.ModelProto:
    """The case's int8 model with uint8 input."""
    return quantize(prepared, case.spec, sample)


@pytest.fixture(scope="session")
def constants() -> Callable[[onnx.ModelProto], dict[str, NDArray[np.generic]]]:
    """The values of a model's initializers by name: ``constants(model)``."""

    def constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
        return {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}

    return constants


@pytest.fixture(scope="session")
def weighted_nodes() -> Callable[[onnx.ModelProto], list[onnx.NodeProto]]:
    """A model's convolutions and dense layers: ``weighted_nodes(model)``."""

    def weighted_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
        return [node for node in model.graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]

    return weighted_nodes


@pytest.fixture(scope="session")
def assert_close() -> Callable[[NDArray[np.float32], NDArray[np.float32]], None]:
    """Check that the error is small against the differences between images."""

    def assert_close(outputs: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        error = abs(outputs - expected).mean()
        assert error < 0.1 * expected.std(axis=0).mean()
        assert (outputs.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9

    return assert_close
