"""Describe a model file and what would run it on this machine; no interpreter is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_runtime.backends.base import INTERPRETERS, available_backends, detect_format
from fmx_runtime.backends.install_hints import Platform, install_hint
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.checksum import check_model
from fmx_runtime.model_file.container import read_metadata, read_model
from fmx_runtime.model_file.metadata import ModelMetadata
from fmx_runtime.support.packages import versions

if TYPE_CHECKING:
    from fmx_runtime.backends.base import BackendName, ModelFormat

__all__ = ["ModelFileDescription", "describe_model_file"]


@dataclass(frozen=True, kw_only=True)
class ModelFileDescription:
    """A model file's metadata, whether it is intact, and its interpreter on this machine.

    Attributes:
        path: of the file.
        format: of the model in it.
        size_bytes: of the file.
        problem: what is wrong with the model, in one line; None if its checksum is right.
        metadata: the file's model metadata.
        interpreter: name and version of the interpreter that would run it here; None if none would.
        install_hint: how to install an interpreter where there is none; None otherwise.
    """

    path: str
    format: ModelFormat
    size_bytes: int
    problem: str | None
    metadata: ModelMetadata
    interpreter: str | None
    install_hint: str | None


def describe_model_file(path: str, *, backend: BackendName | None = None) -> ModelFileDescription:
    """Read a model file's metadata and compare the model's checksum.

    Args:
        path: a ``.tflite`` or ``.onnx`` file.
        backend: the interpreter to look for; None for the first installed one that runs the format.

    Raises:
        ModelFileError: the file cannot be read, is not a model, or its metadata is missing or
            damaged. A model whose checksum differs is described all the same.
    """
    content = read_model(Path(path))
    try:
        metadata = ModelMetadata.from_json(read_metadata(content))
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error
    problem = None
    try:
        check_model(content, model_sha256=metadata.model_sha256, model_bytes=metadata.model_bytes)
    except ModelFileError as error:
        problem = str(error)
    model_format = detect_format(content)
    assert model_format  # noqa: S101  there was metadata in it
    installed = [
        name for name in available_backends(model_format) if backend is None or name == backend
    ]
    hint = None
    if not installed:
        hint = install_hint(backend or INTERPRETERS[model_format][0], Platform.here())
    return ModelFileDescription(
        path=path,
        format=model_format,
        size_bytes=len(content),
        problem=problem,
        metadata=metadata,
        interpreter=" ".join(*versions(installed[0]).items()) if installed else None,
        install_hint=hint,
    )
