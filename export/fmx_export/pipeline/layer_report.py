"""What quantization costs each layer, as a table and as an image for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fmx_export.common.layer_errors import EXACT_DB, sort_by_error
from fmx_runtime.support.atomic import replacing, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from fmx_export.common.layer_errors import LayerError

__all__ = ["layers_figure", "layers_table", "write_plot", "write_table"]

_USUAL, _WORST = "#8a9bb0", "#d1495b"
_NOISY_DB = 20  # noise of a hundredth of the signal's power; 8 bits leave 35 to 50 dB as a rule
_LONGEST = 64  # characters of a bar's label

_INTRODUCTION = """\
Each layer was run twice on the same inputs, quantized and in float. Signal over noise, in dB,
tells how far the two answers lie apart, channel by channel: 0 is all noise, 6 dB are about one
bit, and 8 bits leave 35 to 50 as a rule. The place is the layer's in the graph, from 1.
"""


def write_table(errors: Sequence[LayerError], path: Path) -> None:
    """Write the layers as Markdown, see `layers_table`.

    Args:
        errors: in the order of the graph.
        path: ``<model file's name>.layers.md``; the model is called by that name.

    Raises:
        OutputError: it cannot be written.
    """
    write(path, layers_table(errors, _model(path)))


def write_plot(errors: Sequence[LayerError], path: Path) -> None:
    """Write the layers as PNG, see `layers_figure`.

    Args:
        errors: in the order of the graph.
        path: ``<model file's name>.layers.png``; the model is called by that name.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as temporary:
        layers_figure(errors, _model(path)).savefig(temporary, dpi=150, metadata={"Software": None})


def layers_table(errors: Sequence[LayerError], model: str) -> str:
    """The layers as a Markdown page, the worst first.

    Args:
        errors: in the order of the graph.
        model: the model file's name.
    """
    places = {error.layer: place for place, error in enumerate(errors, 1)}
    rows = [
        ("place", "layer", "operator", "signal/noise, dB", "of the weights, dB"),
        ("--:", "---", "---", "--:", "--:"),
        *(
            (
                str(places[error.layer]),
                f"`{_name(error)}`",
                error.operator,
                _decibels(error.snr_db),
                _decibels(error.weight_snr_db),
            )
            for error in sort_by_error(errors)
        ),
    ]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"# {model}: what quantization costs each layer\n\n{_INTRODUCTION}\n{table}"


def layers_figure(errors: Sequence[LayerError], model: str) -> Figure:
    """Signal over noise of each layer as a bar, in the order of the graph, the worst in red.

    Layers that lose nothing, as those that only move numbers, are left out.

    Args:
        errors: in the order of the graph.
        model: the model file's name.
    """
    from matplotlib.figure import Figure

    shown = [(at, error) for at, error in enumerate(errors, 1) if error.snr_db < EXACT_DB]
    noise = [error.snr_db for _, error in shown]
    bad = max(_NOISY_DB, min(noise, default=0))
    prefix = _network(errors)
    figure = Figure(figsize=(9, 1.2 + 0.2 * len(shown)), layout="constrained")
    axes = figure.subplots()
    colours = [_WORST if decibels <= bad else _USUAL for decibels in noise]
    bars = axes.barh(range(len(shown)), noise, color=colours, height=0.7)
    axes.bar_label(bars, [f"{decibels:.1f}" for decibels in noise], padding=3, fontsize=7)
    axes.set_yticks(range(len(shown)), [_label(*layer, prefix) for layer in shown], fontsize=7)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1.08 * max(noise, default=1))
    axes.tick_params(axis="y", length=0)
    axes.set_title(_title(model, len(errors) - len(shown)), loc="left", fontsize=10)
    axes.set_xlabel("signal over noise, dB; 0 is all noise, 6 dB are a bit")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _title(model: str, exact: int) -> str:
    left_out = f"; left out: {exact} that lose nothing" if exact else ""
    return (
        f"{model}: what quantization leaves of each layer's signal\n"
        f"red: the worst, and all below {_NOISY_DB} dB{left_out}"
    )


def _network(errors: Sequence[LayerError]) -> str:
    """What stands before the names of most layers: the name of the network itself."""
    names = Counter(_name(error).partition("/")[0] for error in errors)
    return "".join(f"{name}/" for name, _ in names.most_common(1))


def _label(place: int, error: LayerError, prefix: str) -> str:
    label = f"{_name(error).removeprefix(prefix)}  {error.operator}  {place}"
    return label if len(label) <= _LONGEST else f"…{label[1 - _LONGEST :]}"


def _name(error: LayerError) -> str:
    """A fused TFLite operator's output has the names of all that went into it, one is enough."""
    return error.tensor.split(";")[0].removesuffix(":0")


def _decibels(value: float | None) -> str:
    if value is None:
        return ""
    return "exact" if value >= EXACT_DB else f"{value:.1f}"


def _model(path: Path) -> str:
    return path.name.rsplit(".layers.", 1)[0]
