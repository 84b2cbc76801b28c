"""Which models are measured, on which images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime.bench.models import open_model, open_models, select_models
from fmx_runtime.errors import ModelFileError
from fmx_runtime.labeled_images import read

if TYPE_CHECKING:
    from fmx_runtime.labeled_images import LabeledImages


@pytest.fixture
def model(exported: Path) -> Path:
    """A real int8 file."""
    return exported / "baseline.int8.tflite"


def test_a_model_file(model: Path) -> None:
    """Name, format, precision, size and labels are the file's."""
    opened = open_model(model)
    assert (opened.name, opened.format, opened.precision) == (model.name, "tflite", "int8")
    assert opened.size_bytes == model.stat().st_size
    assert opened.metadata.labels[0] == "T-shirt/top"


def test_files_that_cannot_be_opened(model: Path, npz: Path) -> None:
    """They are failures with their reason; files that are named twice are opened once."""
    opened, failures = open_models([npz, model, Path("nowhere.tflite"), model])
    assert [one.name for one in opened] == [model.name]
    assert [one.name for one in failures] == ["few.npz", "nowhere.tflite"]
    assert not any("\n" in one.reason for one in failures)
    with pytest.raises(ModelFileError, match="neither a TFLite nor an ONNX model"):
        open_models([npz])
    with pytest.raises(ModelFileError, match="no model to measure"):
        open_models([])


def test_the_models_labels_decide_about_the_order(model: Path, labeled: LabeledImages) -> None:
    """Images whose classes have another order are renumbered into that of the model."""
    order = np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    names = tuple(labeled.class_names[i] for i in order)
    numbers = np.argsort(order)[labeled.labels]
    shuffled = dataclasses.replace(labeled, labels=numbers, class_names=names)
    selection = select_models([open_model(model)], shuffled, report=print)
    assert selection.labeled.class_names == labeled.class_names
    assert np.array_equal(selection.labeled.labels, labeled.labels)


def test_images_without_class_names(model: Path, labeled: LabeledImages) -> None:
    """They get the labels of the model."""
    unnamed = dataclasses.replace(labeled, class_names=())
    selection = select_models([open_model(model)], unnamed, report=print)
    assert selection.labeled.class_names == labeled.class_names


def test_a_model_with_other_labels(model: Path, labeled: LabeledImages) -> None:
    """It is a failure beside one that fits, and an error alone."""
    fitting = open_model(model)
    metadata = dataclasses.replace(fitting.metadata, labels=("cat", "dog"))
    other = dataclasses.replace(fitting, name="other.tflite", metadata=metadata)
    for models in ([fitting, other], [other, fitting]):
        selection = select_models(models, labeled, report=print)
        assert selection.models == (fitting,)
        assert [one.name for one in selection.failures] == ["other.tflite"]
        assert "cat, dog" in selection.failures[0].reason
    with pytest.raises(ModelFileError, match="cat, dog"):
        select_models([other], labeled, report=print)


def test_labels_in_another_order(model: Path, labeled: LabeledImages) -> None:
    """Two models with the same labels in another order are not measured together."""
    first = open_model(model)
    metadata = dataclasses.replace(first.metadata, labels=first.metadata.labels[::-1])
    second = dataclasses.replace(first, name="reversed.tflite", metadata=metadata)
    selection = select_models([first, second], labeled, report=print)
    assert selection.models == (first,)
    assert "are not those of 'baseline.int8.tflite'" in selection.failures[0].reason


def test_a_broken_image_is_no_model_failure(model: Path, broken_folder: Path) -> None:
    """An image that cannot be read is reported and left out; the model is measured on the rest."""
    lines: list[str] = []
    images = read(broken_folder, report=lines.append)
    selection = select_models([open_model(model)], images, report=lines.append)
    assert [one.name for one in selection.models] == [model.name]
    assert selection.failures == ()
    assert len(selection.labeled.labels) == 39
    assert len([line for line in lines if str(broken_folder) in line]) == 1
