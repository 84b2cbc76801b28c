"""``fmx inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fmx_cli.terminal import out
from fmx_export.pipeline.inspect import inspect_file
from fmx_runtime.errors import ModelFileError
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import JustifyMethod

    from fmx_export.common.graph import Graph, Operator, Tensor, Totals
    from fmx_export.pipeline.inspect import Inspection
    from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata

__all__ = ["show"]

_WIDTH = 100  # wider tables are hard to read along
_FEW_LABELS = 20
_FORMATS = {"tflite": "TFLite", "onnx": "ONNX"}
_STYLES = {"whole": "green", "no metadata": "yellow"}
_COLOURS = {1: "gray", 3: "RGB"}
_RESIZE = {"fit": "fitted, the rest filled", "stretch": "stretched"}
_POLARITY = {
    "light-on-dark": "light on dark; those with a light border are inverted",
    "any": "as they are, light or dark",
}


def show(path: Path, *, json: bool) -> None:
    """Print what a model file says of itself.

    Args:
        path: a ``.tflite`` or ``.onnx`` file.
        json: one JSON document in the place of tables.

    Raises:
        ModelFileError: it cannot be read; or it is not whole, after all that could be read of it
            was printed.
    """
    inspection = inspect_file(path)
    if json:
        out.out(json_codec.encode(inspection, indent=2), highlight=False)
    else:
        _print(inspection)
    if inspection.problem:
        raise ModelFileError(f"'{path}': {inspection.problem}")


def _print(inspection: Inspection) -> None:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim", no_wrap=True)
    head.add_column()
    for heading, value, style in _head(inspection):
        head.add_row(heading, Text(_printable(value), style))
    out.print(head)
    out.print()
    out.print(_operators(inspection.graph))
    out.print()
    out.print(_costs(inspection))
    for line in _sums(inspection):
        out.print(Text(_printable(line)), soft_wrap=True)


def _head(inspection: Inspection) -> Iterator[tuple[str, str, str]]:
    """Heading, value and style of each line about the file as a whole."""
    metadata, graph = inspection.metadata, inspection.graph
    precision = f", {metadata.precision}" if metadata else ""
    form = _FORMATS[graph.format]
    yield "file", f"{inspection.file}: {form}{precision}, {inspection.size_bytes:,} bytes", "bold"
    verdict = inspection.verdict
    said = {
        "whole": "whole: the file is as it was exported",
        "no metadata": "no model metadata: not written by 'fmx export', or lost since; the graph alone",
    }.get(verdict, f"{verdict}: {inspection.problem}")
    yield "checksum", said, _STYLES.get(verdict, "red")
    for tensor in graph.inputs:
        yield "input", _tensor(tensor), ""
    if metadata:
        yield "", _pixel(metadata.input), ""
        yield "", _images(metadata.input), ""
    for tensor in graph.outputs:
        yield "output", _tensor(tensor), ""
    if metadata:
        yield from _metadata(metadata)


def _metadata(metadata: ModelMetadata) -> Iterator[tuple[str, str, str]]:
    yield "", f"{metadata.output} of {len(metadata.labels):,} classes", ""
    more = ", …" if len(metadata.labels) > _FEW_LABELS else ""
    yield "labels", ", ".join(metadata.labels[:_FEW_LABELS]) + more, ""
    yield "model", f"{metadata.name}, {metadata.task}", ""
    if quantization := metadata.quantization:
        yield "quantization", quantization.scheme, ""
        sample = f"{quantization.size:,} images of {quantization.split}"
        yield "", f"{quantization.calibration} over {sample}, seed {quantization.seed}", ""
        if quantization.excluded_layers:
            yield "", f"kept in float: {', '.join(quantization.excluded_layers)}", ""
    if accuracy := metadata.accuracy:
        where = f"{accuracy.size:,} images of {accuracy.data}"
        same = f"the same label as Keras for {accuracy.agreement:.2%}"
        if accuracy.file is None or accuracy.keras is None:
            yield "accuracy", f"unknown; {same} of {where}", ""
        else:
            yield "accuracy", f"{accuracy.file:.2%} on {where}", ""
            yield "", f"Keras {accuracy.keras:.2%}; {same}", ""
    origin = metadata.provenance
    yield "origin", f"recipe {origin.recipe}, seed {origin.seed}, {origin.data}", ""
    yield "", f"data {origin.data_digest[:16]}…, Keras model {origin.keras_digest[:16]}…", ""
    yield "", f"commit {origin.commit}", ""
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    yield "versions", versions or "unknown", ""


def _pixel(spec: InputSpec) -> str:
    """What the byte of a pixel, 0 to 255, is to the network."""
    meaning = f"{spec.scale:.6g} * pixel"
    if spec.offset:
        meaning += f" {'-' if spec.offset < 0 else '+'} {abs(spec.offset):.6g}"
    if spec.dtype == "uint8":
        return f"pixels go in as they are, and mean {meaning}"
    return f"pixels go in as {meaning}"


def _images(spec: InputSpec) -> str:
    size = f"{_COLOURS[spec.channels]} {spec.width}x{spec.height}"
    words = f"{size}, others are {_RESIZE[spec.resize]}; {_POLARITY[spec.polarity]}"
    return f"{words}; in photos the garment is found" if spec.subject == "garment" else words


def _tensor(tensor: Tensor) -> str:
    words = f"{tensor.dtype} {_shape(tensor)}"
    scale, zero_point = _affine(tensor)
    return f"{words}, scale {scale}, zero point {zero_point}" if scale else words


def _operators(graph: Graph) -> Table:
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
        cells = (operator.type, _layer(operator.name), _shape(output), output.dtype)
        _add(table, str(operator.index), *cells, *_affine(output))
    return table


def _costs(inspection: Inspection) -> Table:
    """Of the operators that have weights or multiply."""
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
            _add(table, str(operator.index), operator.type, _weights(operator), *_cost(operator))
    totals = inspection.graph.totals
    _add(table, "", "all", f"{totals.operators:,} operators", *_cost(totals), style="bold")
    rest = inspection.size_bytes - totals.weight_bytes
    share = f"{100 * (1 - totals.file_share):.1f}"
    _add(table, "", "rest", "graph, scales, metadata", "", "", f"{rest:,}", share, style="dim")
    return table


def _sums(inspection: Inspection) -> Iterator[str]:
    """Which operators compute with floating-point numbers, where integers are meant to."""
    operators, metadata = inspection.graph.operators, inspection.metadata
    stated = metadata is not None and not metadata.precision.startswith("float")
    integers = any(not item.is_float and item.multiply_accumulates != 0 for item in operators)
    if stated or integers:
        left = [f"{item.type} ({item.index})" for item in operators if item.is_float]
        yield f"float operators left: {', '.join(left)}" if left else "no float operator left"


def _table(*columns: tuple[str, JustifyMethod], stretched: int) -> Table:
    """A table of which one column takes the room that the others leave."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, width=min(out.width, _WIDTH))
    for index, (heading, justify) in enumerate(columns):
        ratio = 1 if index == stretched else None
        table.add_column(Text(heading), justify=justify, no_wrap=True, ratio=ratio)
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    """A row of text as it is: a name's brackets and colons are no markup."""
    table.add_row(*(Text(_printable(cell)) for cell in cells), style=style)


def _shape(tensor: Tensor) -> str:
    if tensor.shape is None:
        return "unknown"
    return "x".join("?" if size is None else str(size) for size in tensor.shape) or "one value"


def _affine(tensor: Tensor) -> tuple[str, str]:
    """Scale and zero point, nothing for numbers that stand for themselves."""
    affine = tensor.affine
    if affine is None:
        return "", ""
    if len(affine.scales) > 1:
        return f"per-channel ({len(affine.scales)})", ""
    return f"{affine.scales[0]:.4g}", str(affine.zero_points[0])


def _weights(operator: Operator) -> str:
    tensor = operator.weights
    if tensor is None:
        return ""
    if tensor.affine is None:
        return tensor.dtype
    many = len(tensor.affine.scales)
    return f"{tensor.dtype} per-channel ({many})" if many > 1 else f"{tensor.dtype} per-tensor"


def _cost(item: Operator | Totals) -> Iterator[str]:
    sums = item.multiply_accumulates
    yield f"{item.parameters:,}"
    yield "unknown" if sums is None else f"{sums:,}"
    yield f"{item.weight_bytes:,}"
    yield f"{100 * item.file_share:.1f}"


def _layer(name: str) -> str:
    """The first of the names that an operator was merged from, without the model's own before."""
    parts = name.partition(";")[0].strip("/").split("/")
    return "/".join(parts[1:] or parts)


def _printable(text: str) -> str:
    """Damaged names may hold what moves a terminal's cursor."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
