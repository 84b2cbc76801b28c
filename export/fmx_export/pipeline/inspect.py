"""All that a model file says of itself: its metadata, whether it is whole, and its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_export.common.graph import Graph
from fmx_export.pipeline.read_graph import read_graph
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.checksum import check_model
from fmx_runtime.model_file.container import read_metadata, read_model
from fmx_runtime.model_file.metadata import METADATA_KEY, ModelMetadata

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Inspection", "Verdict", "inspect_file"]

Verdict = Literal["whole", "damaged", "metadata unreadable", "no metadata"]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in one file."""

    file: str
    size_bytes: int
    verdict: Verdict
    """By the metadata's checksums, its own and the model's; ``no metadata`` is what other tools write."""
    problem: str | None
    """What is wrong and what to do, in a line; None for a file that is whole, or has no metadata."""
    metadata: ModelMetadata | None
    graph: Graph


def inspect_file(path: Path) -> Inspection:
    """Read a ``.tflite`` or ``.onnx`` file, written by ``fmx export`` or by another tool.

    A file whose checksum differs is read all the same, as far as its graph can be.

    Args:
        path: of the file.

    Raises:
        ModelFileError: it cannot be read, is no model, or its graph is damaged.
    """
    content = _read(path)
    try:
        graph = read_graph(content)
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error
    verdict, problem, metadata = _judge(content)
    return Inspection(
        file=path.name,
        size_bytes=len(content),
        verdict=verdict,
        problem=problem,
        metadata=metadata,
        graph=graph,
    )


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ModelFileError(f"'{path}' is a folder; give a .tflite or .onnx file")
    return read_model(path)


def _judge(content: bytes) -> tuple[Verdict, str | None, ModelMetadata | None]:
    """The verdict, why, and the metadata where it can be read."""
    try:
        text = read_metadata(content)
    except ModelFileError as error:
        # of metadata that was cut off the name is left
        if METADATA_KEY.encode() in content:
            return "damaged", str(error), None
        return "no metadata", None, None
    try:
        metadata = ModelMetadata.from_json(text)
    except ModelFileError as error:
        return "metadata unreadable", str(error), None
    try:
        check_model(
            content, model_sha256=metadata.model_sha256, model_bytes=metadata.model_bytes
        )
    except ModelFileError as error:
        return "damaged", str(error), metadata
    return "whole", None, metadata
