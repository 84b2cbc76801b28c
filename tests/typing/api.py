"""The public API of fmx_runtime, used as its users do; type-checked by mypy and never run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import numpy as np
from PIL import Image

from fmx_runtime import (
    BackendError,
    Classifier,
    DataError,
    ExportError,
    FmxError,
    ImageError,
    ModelFileError,
    ModelMetadata,
    OutputError,
    Prediction,
    PredictionError,
    classify_stream,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# opening a file
classifier = Classifier("baseline.int8.tflite")
Classifier(Path("baseline.int8.onnx"), backend="onnxruntime", threads=2)
Classifier("external.tflite", labels=["cat", "dog"], input_range="-1..1")
Classifier("edge.int8.tflite", segment_garment=False)
Classifier("baseline.int8.tflite", backend="tensorrt")  # type: ignore[arg-type]
Classifier("external.tflite", labels=["cat"], input_range="0-1")  # type: ignore[arg-type]
Classifier("baseline.int8.tflite", "onnxruntime")  # type: ignore[call-arg]
assert_type(classifier.backend, str)

# one image, in each form
assert_type(classifier.classify("boot.png"), tuple[Prediction, ...])
classifier.classify(Path("boot.png"), top_k=1)
classifier.classify(b"\x89PNG")
classifier.classify(Image.new("RGB", (28, 28)))
classifier.classify(np.zeros((28, 28), np.uint8))
floats: NDArray[np.float32] = np.zeros((28, 28), np.float32)
classifier.classify(floats)  # type: ignore[arg-type]
classifier.classify(3)  # type: ignore[arg-type]

# predictions
prediction = classifier.classify("boot.png")[0]
assert_type(prediction.label, str)
assert_type(prediction.score, float)
label, score = prediction
assert_type(label, str)
assert_type(score, float)
prediction.label = "Ankle boot"  # type: ignore[misc]

# several images
paths: list[Path] = []
assert_type(classifier.classify_batch(paths), list[tuple[Prediction, ...]])
probabilities: NDArray[np.float32] = classifier.predict(np.zeros((2, 28, 28, 1), np.uint8))
for image, outcome in classify_stream(classifier, paths, top_k=1, workers=2):
    if isinstance(outcome, (ImageError, PredictionError)):
        assert_type(outcome.exit_code, int)
    else:
        assert_type(outcome, tuple[Prediction, ...])
    classifier.classify(image)

# metadata
assert_type(classifier.metadata, ModelMetadata)
assert_type(classifier.metadata.labels, tuple[str, ...])
assert_type(classifier.metadata.input.shape, tuple[int, int, int])
assert_type(classifier.metadata.model_sha256, str)
assert_type(ModelMetadata.from_json(classifier.metadata.to_json()), ModelMetadata)
if classifier.metadata.accuracy is not None:
    assert_type(classifier.metadata.accuracy.file, float | None)
accuracy = classifier.metadata.accuracy.file  # type: ignore[union-attr]
classifier.metadata.name = "another"  # type: ignore[misc]


def classify_or_explain(path: str) -> str:
    """Errors have an exit code, and can be caught as their built-in parents."""
    try:
        return Classifier(path).classify("boot.png")[0].label
    except (BackendError, ModelFileError, ImageError, PredictionError) as error:
        assert_type(error.exit_code, int)
        return str(error)


def exit_code(error: FmxError) -> int:
    """Each error is an `FmxError`."""
    built_in: tuple[ValueError | OSError | ImportError | RuntimeError, ...] = (
        DataError("a data set"),
        OutputError("a result"),
        BackendError("an interpreter"),
        ExportError("a model"),
    )
    del built_in
    return error.exit_code
