"""Inspect a model file: its metadata, its checksums and its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_export.pipeline.read_graph import read_graph
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.checksum import check_model
from fmx_runtime.model_file.container import read_metadata, read_model
from fmx_runtime.model_file.metadata import METADATA_KEY, ModelMetadata

if TYPE_CHECKING:
    from pathlib import Path

from fmx_export.common.graph import Graph  # noqa: TC001 (the JSON codec reads the types)

__all__ = ["Inspection", "Status", "inspect_file"]

Status = Literal["intact", "damaged", "unreadable metadata", "no metadata"]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in one model file.

    Attributes:
        file: its name.
        size_bytes: its size.
        status: the result of the two checksums, the model's and the metadata's. Files of other
            tools have ``no metadata``.
        problem: what is wrong and what to do, in one line; None for an intact file and for one
            without metadata.
        metadata: None where the file has none, or it cannot be read.
        graph: the operators of the model.
    """

    file: str
    size_bytes: int
    status: Status
    problem: str | None
    metadata: ModelMetadata | None
    graph: Graph


def inspect_file(path: Path) -> Inspection:
    """Inspect a ``.tflite`` or ``.onnx`` file, written by ``fmx export`` or by another tool.

    A file with a wrong checksum is inspected too, as long as its graph can be read.

    Args:
        path: the model file.

    Raises:
        ModelFileError: the file cannot be read, is no model, or its graph is damaged.
    """
    if path.is_dir():
        raise ModelFileError(f"'{path}' is a folder; give a .tflite or .onnx file")
    content = read_model(path)
    try:
        graph = read_graph(content)
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error
    status, problem, metadata = _check(content)
    return Inspection(
        file=path.name,
        size_bytes=len(content),
        status=status,
        problem=problem,
        metadata=metadata,
        graph=graph,
    )


def _check(content: bytes) -> tuple[Status, str | None, ModelMetadata | None]:
    """Return the status, the problem, and the metadata where it can be read."""
    try:
        text = read_metadata(content)
    except ModelFileError as error:
        # where the metadata was cut off, its key is still in the file
        if METADATA_KEY.encode() in content:
            return "damaged", str(error), None
        return "no metadata", None, None
    try:
        metadata = ModelMetadata.from_json(text)
    except ModelFileError as error:
        return "unreadable metadata", str(error), None
    try:
        check_model(content, model_sha256=metadata.model_sha256, model_bytes=metadata.model_bytes)
    except ModelFileError as error:
        return "damaged", str(error), metadata
    return "intact", None, metadata
