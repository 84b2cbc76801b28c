"""The layer report: table and plot of the quantization errors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import keras
import pytest
from keras import layers
from PIL import Image

from fmx_export.common.layer_errors import EXACT_DB, LayerError
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.quantizer import OnnxQuantizer
from fmx_export.pipeline.layer_report import (
    layers_figure,
    layers_table,
    write_layer_report,
    write_plot,
    write_table,
)
from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.source.source_model import SourceModel

MODEL = "baseline.int8.tflite"
RED = (0xD1 / 255, 0x49 / 255, 0x5B / 255, 1.0)


def layer(name: str, snr_db: float, weights: float | None = None) -> LayerError:
    """The error of one layer."""
    return LayerError(
        layer=name,
        tensor=name,
        operator="CONV_2D",
        snr_db=snr_db,
        weight_snr_db=weights,
        exclude=(name,),
    )


@pytest.fixture
def errors() -> list[LayerError]:
    """Four layers: a good one, one without an error, a bad one, and a mediocre one."""
    return [
        layer("net/first/Relu;net/first/BiasAdd", 41.25, weights=45.5),
        layer("net/pool/MaxPool:0", EXACT_DB),
        layer("net/wide/Relu;net/wide/BiasAdd", 2.19),
        layer("net/undone/Relu;net/undone/BiasAdd", 23.0),
    ]


def test_table(errors: list[LayerError]) -> None:
    """The worst layer comes first, with its first name and its position."""
    page = layers_table(errors, MODEL)
    assert page.startswith(f"# {MODEL}: quantization error of each layer\n")
    rows = [line[2:-2].split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in page.splitlines() if line.startswith("|")}) == 1
    assert rows[2] == ["3", "`net/wide/Relu`", "CONV_2D", "2.2", ""]
    assert [row[0] for row in rows[2:]] == ["3", "4", "1", "2"]
    assert rows[4][3:5] == ["41.2", "45.5"]
    assert rows[5][1:] == ["`net/pool/MaxPool`", "CONV_2D", "exact", ""]


def test_plot(errors: list[LayerError]) -> None:
    """Each layer with an error has a bar of its SNR, in graph order, red if it is bad."""
    axes = layers_figure(errors, MODEL).axes[0]
    bars = axes.patches
    assert [bar.get_width() for bar in bars] == [41.25, 2.19, 23.0]
    assert [bar.get_facecolor() == RED for bar in bars] == [False, True, False]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "first/Relu  CONV_2D  1", "wide/Relu  CONV_2D  3", "undone/Relu  CONV_2D  4",
    ]  # fmt: skip
    top, bottom = (bar.get_y() for bar in (bars[0], bars[-1]))
    lower, upper = axes.get_ylim()
    assert abs(top - upper) < abs(bottom - upper)
    assert lower > upper  # so the first layer is on top
    assert axes.get_title(loc="left").endswith("not shown: 1 without an error")


def test_worst_bar_is_always_red() -> None:
    """The worst layer is red even if its error is small."""
    bars = layers_figure([layer("a", 40.0), layer("b", 39.0)], MODEL).axes[0].patches
    assert [bar.get_facecolor() == RED for bar in bars] == [False, True]


@pytest.mark.parametrize("count", [1, 5, 150])
def test_labels_do_not_overlap(count: int) -> None:
    """However many layers there are, their labels do not overlap, and none is cut off."""
    errors = [layer(f"net/block_{i}/depthwise_conv2d_{i}/Relu", 40 - i % 30) for i in range(count)]
    figure = layers_figure(errors, MODEL)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == count
    assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(boxes))
    assert all(box.x0 >= 0 for box in boxes)
    assert boxes[-1].y0 > 0


def test_files_are_reproducible(errors: list[LayerError], tmp_path: Path) -> None:
    """Equal errors give equal files, and no other file is left."""
    table, plot = tmp_path / f"{MODEL}.layers.md", tmp_path / f"{MODEL}.layers.png"
    written = []
    for _ in range(2):
        write_table(errors, table)
        write_plot(errors, plot)
        written.append((table.read_bytes(), plot.read_bytes()))
    assert written[0] == written[1]
    assert table.read_text() == layers_table(errors, MODEL)
    assert Image.open(plot).width == 9 * 150
    assert sorted(tmp_path.iterdir()) == [table, plot]


def test_missing_folder(errors: list[LayerError], tmp_path: Path) -> None:
    """A missing folder is an error of one line."""
    for write, suffix in ((write_table, "md"), (write_plot, "png")):
        with pytest.raises(OutputError, match=r"^cannot write to [^\n]*$"):
            write(errors, tmp_path / "none" / f"{MODEL}.layers.{suffix}")


def quantizer_of(model: Any, source: SourceModel, calibration: CalibrationSet) -> OnnxQuantizer:
    """The int8 ONNX quantizer of a Keras model, with 40 calibration images."""
    float_model = export_onnx(model, spec=source.spec)
    return OnnxQuantizer(float_model, source.spec, calibration.images[:40], "x86-64")


def test_report_of_a_quantizer(
    source: SourceModel, calibration: CalibrationSet, tmp_path: Path
) -> None:
    """Table and plot are named after the model file, and hold the quantizer's layer errors."""
    quantizer = quantizer_of(source.model, source, calibration)
    steps: list[str] = []
    names = write_layer_report(quantizer, MODEL, tmp_path, steps.append)
    assert names == (f"{MODEL}.layers.md", f"{MODEL}.layers.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert (tmp_path / names[0]).read_text() == layers_table(quantizer.layer_errors(), MODEL)
    assert steps == [f"measuring the quantization error of each layer of {MODEL}"]


def test_report_without_measurements(
    source: SourceModel, calibration: CalibrationSet, tmp_path: Path
) -> None:
    """If the errors cannot be measured, a line says so, and nothing is written."""
    pooling = [layers.MaxPooling2D((14, 7)), layers.Flatten(), layers.Softmax()]
    model = keras.Sequential([keras.Input((28, 28, 1)), *pooling])
    steps: list[str] = []
    quantizer = quantizer_of(model, source, calibration)
    assert write_layer_report(quantizer, MODEL, tmp_path, steps.append) == ()
    assert steps[1].startswith(f"{MODEL}: no layer report: cannot compare the layers")
    assert not list(tmp_path.iterdir())
