"""Print an inspection, as ``fmx inspect`` does: the file, its operators and their costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fmx_cli.output.operator_tables import (
    costs_table,
    operators_table,
    quantization_text,
    shape_text,
)
from fmx_cli.output.terminal import out, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_export.common.graph import Tensor
    from fmx_export.pipeline.inspect import Inspection
    from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata

__all__ = ["print_inspection"]

_MAX_LABELS = 20
_FORMATS = {"tflite": "TFLite", "onnx": "ONNX"}
_STATUS_TEXTS = {
    "intact": "matches: the file is as it was exported",
    "no metadata": "no model metadata: not written by 'fmx export', or lost since then",
}
_STATUS_STYLES = {"intact": "green", "no metadata": "yellow"}
_COLORS = {1: "gray", 3: "RGB"}
_RESIZE = {"fit": "fitted and padded", "stretch": "stretched"}
_POLARITY = {
    "light-on-dark": "light on dark; images with a light border are inverted",
    "any": "light or dark, not inverted",
}


def print_inspection(inspection: Inspection) -> None:
    """Print the facts about the file as a whole, then its operators and their costs."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for heading, value, style in _facts(inspection):
        facts.add_row(heading, Text(printable(value), style))
    out.print(facts)
    out.print()
    out.print(operators_table(inspection.graph))
    out.print()
    out.print(costs_table(inspection))
    if sentence := _float_operators(inspection):
        out.print(Text(printable(sentence)), soft_wrap=True)


def _facts(inspection: Inspection) -> Iterator[tuple[str, str, str]]:
    """Yield the heading, value and style of each line about the file as a whole."""
    metadata, graph, status = inspection.metadata, inspection.graph, inspection.status
    precision = f", {metadata.precision}" if metadata else ""
    kind = f"{_FORMATS[graph.format]}{precision}"
    yield "file", f"{inspection.file}: {kind}, {inspection.size_bytes:,} bytes", "bold"
    checksum = _STATUS_TEXTS.get(status, f"{status}: {inspection.problem}")
    yield "checksum", checksum, _STATUS_STYLES.get(status, "red")
    for tensor in graph.inputs:
        yield "input", _tensor_text(tensor), ""
    if metadata:
        yield "", _pixel_text(metadata.input), ""
        yield from _preprocessing_facts(metadata.input)
    for tensor in graph.outputs:
        yield "output", _tensor_text(tensor), ""
    if metadata:
        yield from _metadata_facts(metadata)


def _metadata_facts(metadata: ModelMetadata) -> Iterator[tuple[str, str, str]]:
    """Yield the lines that are taken from the model metadata."""
    yield "", f"{metadata.output} of {len(metadata.labels):,} classes", ""
    more = ", …" if len(metadata.labels) > _MAX_LABELS else ""
    yield "labels", ", ".join(metadata.labels[:_MAX_LABELS]) + more, ""
    yield "model", f"{metadata.name}, {metadata.task}", ""
    if quantization := metadata.quantization:
        yield "quantization", quantization.scheme, ""
        sample = f"{quantization.size:,} images of {quantization.split}, seed {quantization.seed}"
        yield "", f"calibration {quantization.calibration}, {sample}", ""
        if quantization.excluded_layers:
            yield "", f"excluded layers, in float: {', '.join(quantization.excluded_layers)}", ""
    if accuracy := metadata.accuracy:
        where = f"{accuracy.size:,} images of {accuracy.data}"
        agreement = f"agrees with Keras for {accuracy.agreement:.2%}"
        if accuracy.file is None or accuracy.keras is None:
            yield "accuracy", f"unknown; {agreement} of {where}", ""
        else:
            yield "accuracy", f"{accuracy.file:.2%} on {where}", ""
            yield "", f"Keras {accuracy.keras:.2%}; {agreement}", ""
    origin = metadata.provenance
    yield "origin", f"recipe {origin.recipe}, seed {origin.seed}, {origin.data}", ""
    yield "", f"data {origin.data_digest[:16]}…, Keras model {origin.keras_digest[:16]}…", ""
    yield "", f"commit {origin.commit}", ""
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    yield "versions", versions or "unknown", ""


def _pixel_text(spec: InputSpec) -> str:
    """Return how the network's input is computed from a pixel's value, 0 to 255."""
    formula = f"{spec.scale:.6g} * pixel"
    if spec.offset:
        formula += f" {'-' if spec.offset < 0 else '+'} {abs(spec.offset):.6g}"
    if spec.dtype == "uint8":
        return f"pixels as they are, which stand for {formula}"
    return f"pixels scaled to {formula}"


def _preprocessing_facts(spec: InputSpec) -> Iterator[tuple[str, str, str]]:
    """Yield the lines about the images that the network takes, and how others are converted."""
    size = f"{_COLORS[spec.channels]} {spec.width}x{spec.height}"
    yield "images", f"{size}, other sizes are {_RESIZE[spec.resize]}", ""
    yield "", _POLARITY[spec.polarity], ""
    if spec.subject == "garment":
        yield "", "in photos the garment is segmented", ""


def _tensor_text(tensor: Tensor) -> str:
    text = f"{tensor.dtype} {shape_text(tensor)}"
    scale, zero_point = quantization_text(tensor)
    return f"{text}, scale {scale}, zero point {zero_point}" if scale else text


def _float_operators(inspection: Inspection) -> str | None:
    """Return which operators of a quantized model compute in float; None for a float model."""
    operators, metadata = inspection.graph.operators, inspection.metadata
    is_quantized = metadata is not None and not metadata.precision.startswith("float")
    if not is_quantized and not any(
        not item.is_float and item.multiply_accumulates != 0 for item in operators
    ):
        return None
    floats = [f"{item.type} ({item.index})" for item in operators if item.is_float]
    return f"float operators: {', '.join(floats)}" if floats else "no float operators"
