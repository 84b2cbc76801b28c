"""The tables of a model file's operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fmx_cli.output.terminal import out, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import JustifyMethod

    from fmx_export.common.graph import Graph, Operator, Tensor, Totals
    from fmx_export.pipeline.inspect import Inspection

__all__ = ["costs_table", "operators_table", "quantization_text", "shape_text"]

_MAX_WIDTH = 100  # wider tables are hard to read


def operators_table(graph: Graph) -> Table:
    """Return a table with the type and the output of each operator."""
    table = _table(
        ("", "right"),
        ("operator", "left"),
        ("name", "left"),
        ("output", "left"),
        ("type", "left"),
        ("scale", "right"),
        ("zero point", "right"),
        stretched=2,
    )
    for operator in graph.operators:
        output = operator.output
        cells = (operator.type, _layer_name(operator.name), shape_text(output), output.dtype)
        _add(table, str(operator.index), *cells, *quantization_text(output))
    return table


def costs_table(inspection: Inspection) -> Table:
    """Return a table with the costs of the operators that have weights or multiply."""
    table = _table(
        ("", "right"),
        ("operator", "left"),
        ("weights", "left"),
        ("parameters", "right"),
        ("multiply-\naccumulates", "right"),
        ("bytes", "right"),
        ("% of\nfile", "right"),
        stretched=1,
    )
    for operator in inspection.graph.operators:
        if operator.weights or operator.multiply_accumulates != 0:
            cells = (operator.type, _weights_text(operator), *_cost_cells(operator))
            _add(table, str(operator.index), *cells)
    totals = inspection.graph.totals
    _add(table, "", "all", f"{totals.operators:,} operators", *_cost_cells(totals), style="bold")
    rest = inspection.size_bytes - totals.weight_bytes
    share = f"{100 * (1 - totals.file_share):.1f}"
    _add(table, "", "rest", "graph, scales, metadata", "", "", f"{rest:,}", share, style="dim")
    return table


def _table(*columns: tuple[str, JustifyMethod], stretched: int) -> Table:
    """Return an empty table in which one column takes the width that the others leave."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, width=min(out.width, _MAX_WIDTH))
    for index, (heading, justify) in enumerate(columns):
        ratio = 1 if index == stretched else None
        table.add_column(Text(heading), justify=justify, no_wrap=True, ratio=ratio)
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    """Add a row whose cells are plain text: brackets and colons in names are not markup."""
    table.add_row(*(Text(printable(cell)) for cell in cells), style=style)


def shape_text(tensor: Tensor) -> str:
    """Return a shape such as ``1x28x28x1``, with ``?`` for an unknown size."""
    if tensor.shape is None:
        return "unknown"
    return "x".join("?" if size is None else str(size) for size in tensor.shape) or "scalar"


def quantization_text(tensor: Tensor) -> tuple[str, str]:
    """Return scale and zero point, both empty for a tensor that is not quantized."""
    quantization = tensor.quantization
    if quantization is None:
        return "", ""
    if len(quantization.scales) > 1:
        return f"per-channel ({len(quantization.scales)})", ""
    return f"{quantization.scales[0]:.4g}", str(quantization.zero_points[0])


def _weights_text(operator: Operator) -> str:
    """Return the data type of an operator's weights and how they are quantized."""
    tensor = operator.weights
    if tensor is None:
        return ""
    if tensor.quantization is None:
        return tensor.dtype
    channels = len(tensor.quantization.scales)
    kind = f"per-channel ({channels})" if channels > 1 else "per-tensor"
    return f"{tensor.dtype} {kind}"


def _cost_cells(item: Operator | Totals) -> Iterator[str]:
    """Yield parameters, multiply-accumulates, bytes and percentage of the file."""
    products = item.multiply_accumulates
    yield f"{item.parameters:,}"
    yield "unknown" if products is None else f"{products:,}"
    yield f"{item.weight_bytes:,}"
    yield f"{100 * item.file_share:.1f}"


def _layer_name(name: str) -> str:
    """Return the layer's name: the first of merged ones, without the name of the model."""
    parts = name.partition(";")[0].strip("/").split("/")
    return "/".join(parts[1:] or parts)
