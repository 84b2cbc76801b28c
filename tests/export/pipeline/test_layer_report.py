"""The table and the image of what quantization costs each layer."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmx_export.common.layer_errors import EXACT_DB, LayerError
from fmx_export.pipeline.layer_report import layers_figure, layers_table, write_plot, write_table
from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "baseline.int8.tflite"
RED = (0xD1 / 255, 0x49 / 255, 0x5B / 255, 1.0)


def layer(name: str, noise: float, weights: float | None = None) -> LayerError:
    """What one layer loses."""
    return LayerError(
        layer=name,
        tensor=name,
        operator="CONV_2D",
        snr_db=noise,
        weight_snr_db=weights,
        exclude=(name,),
    )


@pytest.fixture
def errors() -> list[LayerError]:
    """Four layers: a good one, a mover, a bad one, and one that is not quite good."""
    return [
        layer("net/first/Relu;net/first/BiasAdd", 41.25, weights=45.5),
        layer("net/pool/MaxPool:0", EXACT_DB),
        layer("net/wide/Relu;net/wide/BiasAdd", 2.19),
        layer("net/undone/Relu;net/undone/BiasAdd", 23.0),
    ]


def test_the_table(errors: list[LayerError]) -> None:
    """The worst layer stands first, under its first name, with its place."""
    page = layers_table(errors, MODEL)
    assert page.startswith(f"# {MODEL}: what quantization costs each layer\n")
    rows = [line[2:-2].split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in page.splitlines() if line.startswith("|")}) == 1
    assert rows[2] == ["3", "`net/wide/Relu`", "CONV_2D", "2.2", ""]
    assert [row[0] for row in rows[2:]] == ["3", "4", "1", "2"]
    assert rows[4][3:5] == ["41.2", "45.5"]
    assert rows[5][1:] == ["`net/pool/MaxPool`", "CONV_2D", "exact", ""]


def test_the_image(errors: list[LayerError]) -> None:
    """Each layer that loses something has a bar of that length, in order, red if bad."""
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
    assert axes.get_title(loc="left").endswith("left out: 1 that lose nothing")


def test_one_bar_is_always_red() -> None:
    """In a healthy network the worst layer is still marked."""
    bars = layers_figure([layer("a", 40.0), layer("b", 39.0)], MODEL).axes[0].patches
    assert [bar.get_facecolor() == RED for bar in bars] == [False, True]


@pytest.mark.parametrize("count", [1, 5, 150])
def test_the_words_do_not_meet(count: int) -> None:
    """However many layers there are, each has its own line, and all lie within the image."""
    errors = [layer(f"net/block_{i}/depthwise_conv2d_{i}/Relu", 40 - i % 30) for i in range(count)]
    figure = layers_figure(errors, MODEL)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == count
    assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(boxes))
    assert all(box.x0 >= 0 for box in boxes)
    assert boxes[-1].y0 > 0


def test_files(errors: list[LayerError], tmp_path: Path) -> None:
    """Both files are written whole, equal errors give equal bytes, and nothing else is left."""
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


def test_where_nothing_can_be_written(errors: list[LayerError], tmp_path: Path) -> None:
    """A folder that is not there is told of in one line."""
    for write, suffix in ((write_table, "md"), (write_plot, "png")):
        with pytest.raises(OutputError, match=r"^cannot write to [^\n]*$"):
            write(errors, tmp_path / "none" / f"{MODEL}.layers.{suffix}")
