"""The layer report: the quantization error of each layer, as a table and as a plot."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fmx_export.common.layer_errors import EXACT_DB, sort_by_error
from fmx_runtime.errors import ExportError
from fmx_runtime.support.atomic import replacing, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from fmx_export.common.layer_errors import LayerError
    from fmx_export.common.quantizer import Quantizer

__all__ = ["layers_figure", "layers_table", "write_layer_report", "write_plot", "write_table"]

_BAR_COLOR, _WORST_COLOR = "#8a9bb0", "#d1495b"
_NOISY_DB = 20
"""Signal-to-noise ratio below which a bar is red: the noise has a hundredth of the signal's power.
Layers of an int8 model usually have 35 to 50 dB."""
_MAX_LABEL = 64
"""Most characters of a bar's label."""

_INTRODUCTION = """\
Each layer was run twice on the same inputs, quantized and in float. The signal-to-noise ratio
(SNR) compares the two outputs, channel by channel: at 0 dB there is only noise, 6 dB are about one
bit, and layers of an int8 model usually have 35 to 50 dB. "Position" is the layer's place in the
graph, from 1.
"""


def write_layer_report(
    quantizer: Quantizer, file_name: str, folder: Path, progress: Callable[[str], None]
) -> tuple[str, ...]:
    """Measure the quantization error of each layer, and write it as a table and as a plot.

    Args:
        quantizer: quantizes the model that the report is about.
        file_name: the int8 file's name.
        folder: the report is written to it.
        progress: called with one line before the measurement, and with one if it fails.

    Returns:
        The names of the written files, none if the errors cannot be measured.

    Raises:
        OutputError: the folder cannot be written to.
    """
    progress(f"measuring the quantization error of each layer of {file_name}")
    try:
        errors = quantizer.layer_errors()
    except ExportError as error:  # the exported files are fine without a report
        progress(f"{file_name}: no layer report: {error}")
        return ()
    table, plot = f"{file_name}.layers.md", f"{file_name}.layers.png"
    write_table(errors, folder / table)
    write_plot(errors, folder / plot)
    return table, plot


def write_table(errors: Sequence[LayerError], path: Path) -> None:
    """Write the table of `layers_table` as a Markdown file.

    Args:
        errors: of all layers, in the order of the graph.
        path: ``<model file's name>.layers.md``; the heading names the model file.

    Raises:
        OutputError: the file cannot be written.
    """
    write(path, layers_table(errors, _model_name(path)))


def write_plot(errors: Sequence[LayerError], path: Path) -> None:
    """Write the plot of `layers_figure` as a PNG file.

    Args:
        errors: of all layers, in the order of the graph.
        path: ``<model file's name>.layers.png``; the title names the model file.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = layers_figure(errors, _model_name(path))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})


def layers_table(errors: Sequence[LayerError], model: str) -> str:
    """Return a Markdown page with a table of the layers, the worst first.

    Args:
        errors: of all layers, in the order of the graph.
        model: the model file's name.
    """
    positions = {error.layer: position for position, error in enumerate(errors, 1)}
    rows = [
        ("position", "layer", "operator", "SNR, dB", "SNR of the weights, dB"),
        ("--:", "---", "---", "--:", "--:"),
        *(
            (
                str(positions[error.layer]),
                f"`{_layer_name(error)}`",
                error.operator,
                _decibels(error.snr_db),
                _decibels(error.weight_snr_db),
            )
            for error in sort_by_error(errors)
        ),
    ]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"# {model}: quantization error of each layer\n\n{_INTRODUCTION}\n{table}"


def layers_figure(errors: Sequence[LayerError], model: str) -> Figure:
    """Return a bar chart of the layers' signal-to-noise ratios, in the order of the graph.

    The worst layer and those below 20 dB are red. Layers without an error, such as reshapes, are
    left out.

    Args:
        errors: of all layers, in the order of the graph.
        model: the model file's name.
    """
    from matplotlib.figure import Figure

    shown = [(at, error) for at, error in enumerate(errors, 1) if error.snr_db < EXACT_DB]
    ratios = [error.snr_db for _, error in shown]
    threshold = max(_NOISY_DB, min(ratios, default=0))
    prefix = _common_prefix(errors)
    figure = Figure(figsize=(9, 1.2 + 0.2 * len(shown)), layout="constrained")
    axes = figure.subplots()
    colors = [_WORST_COLOR if ratio <= threshold else _BAR_COLOR for ratio in ratios]
    bars = axes.barh(range(len(shown)), ratios, color=colors, height=0.7)
    axes.bar_label(bars, [f"{ratio:.1f}" for ratio in ratios], padding=3, fontsize=7)
    labels = [_bar_label(position, error, prefix) for position, error in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1.08 * max(ratios, default=1))
    axes.tick_params(axis="y", length=0)
    axes.set_title(_title(model, len(errors) - len(shown)), loc="left", fontsize=10)
    axes.set_xlabel("signal-to-noise ratio, dB; 6 dB are about one bit")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _title(model: str, exact: int) -> str:
    left_out = f"; not shown: {exact} without an error" if exact else ""
    return (
        f"{model}: signal-to-noise ratio of each layer after quantization\n"
        f"red: the worst layer, and all below {_NOISY_DB} dB{left_out}"
    )


def _common_prefix(errors: Sequence[LayerError]) -> str:
    """Return the first part of most layers' names, the network's own name, with a slash."""
    names = Counter(_layer_name(error).partition("/")[0] for error in errors)
    return "".join(f"{name}/" for name, _ in names.most_common(1))


def _bar_label(position: int, error: LayerError, prefix: str) -> str:
    label = f"{_layer_name(error).removeprefix(prefix)}  {error.operator}  {position}"
    return label if len(label) <= _MAX_LABEL else f"…{label[1 - _MAX_LABEL :]}"


def _layer_name(error: LayerError) -> str:
    """Return the first of the names that TFLite joins where it fused several layers."""
    return error.tensor.split(";")[0].removesuffix(":0")


def _decibels(value: float | None) -> str:
    if value is None:
        return ""
    return "exact" if value >= EXACT_DB else f"{value:.1f}"


def _model_name(path: Path) -> str:
    return path.name.rsplit(".layers.", 1)[0]
