"""What a model file says of itself, and what would run it here; no interpreter is loaded."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmx_runtime.backends.install_hints import Machine
from fmx_runtime.command.writers import Recorded
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.describe import ModelFileDescription, describe_model_file
from fmx_runtime.support.packages import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.backends.base import BackendName
    from fmx_runtime.model_file.metadata import ModelMetadata

__all__ = ["Info", "read"]

_WIDTH = 100  # longer lines are hard to read along
_HEADING = 16
_FEW_LABELS = 10
_DIGITS = 16  # of a checksum: enough to compare by eye
_FORMATS = {"tflite": "TFLite", "onnx": "ONNX"}
_COLOURS = {1: "gray", 3: "RGB"}
_RESIZE = {"fit": "fitted, the rest filled", "stretch": "stretched"}
_POLARITY = {
    "light-on-dark": "light on dark, those with a light border inverted",
    "any": "as they are, light or dark",
}


@dataclass(frozen=True, kw_only=True)
class Info(ModelFileDescription, Recorded):
    """A model file's description, to be written as text or as JSON.

    Attributes:
        threads: number of images that would be classified at a time.
    """

    threads: int

    @property
    def error(self) -> str | None:
        """See `fmx_runtime.command.writers.Answer`."""
        return f"'{self.path}': {self.problem}" if self.problem else None

    @property
    def exit_code(self) -> int:
        """See `fmx_runtime.command.writers.Answer`."""
        return ModelFileError.exit_code if self.problem else 0

    def record(self) -> dict[str, Any]:
        """The metadata without the pixels of its test vectors, and the rest."""
        metadata = dataclasses.asdict(self.metadata)
        test_vectors = metadata.pop("test_vectors")
        return {
            "path": self.path,
            "format": self.format,
            "size_bytes": self.size_bytes,
            "whole": self.problem is None,
            **metadata,
            "test_vectors_images": len(test_vectors["outputs"]) if test_vectors else 0,
            "interpreter": self.interpreter,
            "threads": self.threads,
            **_here(),
            **({"error": self.error} if self.error else {}),
        }

    def lines(self) -> tuple[str, ...]:
        """A heading and a value each, wrapped."""
        return tuple(line for heading, value in self._rows() for line in _wrapped(heading, value))

    def _rows(self) -> Iterator[tuple[str, str]]:
        metadata = self.metadata
        yield "file", self.path
        yield "", f"{_FORMATS[self.format]}, {metadata.precision}, {self.size_bytes:,} bytes"
        yield "checksum", self.problem or "whole: the file is as it was exported"
        yield "model", f"{metadata.name}, {metadata.task}"
        more = ", …" if len(metadata.labels) > _FEW_LABELS else ""
        yield (
            "labels",
            f"{len(metadata.labels):,}: {', '.join(metadata.labels[:_FEW_LABELS])}{more}",
        )
        spec = metadata.input
        yield "input", f"{spec.width}x{spec.height} {_COLOURS[spec.channels]}, {spec.dtype}"
        yield "", f"other sizes are {_RESIZE[spec.resize]}; {_POLARITY[spec.polarity]}"
        if spec.subject == "garment":
            yield "", "in photos the garment is found"
        yield "output", f"{metadata.output} of {len(metadata.labels):,} classes"
        yield from _measured(metadata)
        yield from _origin(metadata)
        yield "runs here with", self.interpreter or f"no interpreter; {self.install_hint}"
        here = _here()
        workers = "1 image" if self.threads == 1 else f"{self.threads} images"
        yield "", f"Python {here['python']} on {here['machine']}; {workers} at a time"
        yield "", ", ".join(f"{name} {version}" for name, version in here["versions_here"].items())


def read(path: str, *, backend: BackendName | None = None, threads: int = 1) -> Info:
    """Read a model file's metadata and compare its checksum.

    Args:
        path: a ``.tflite`` or ``.onnx`` file.
        backend: the interpreter to look for; None for the first installed one that fits.
        threads: number of images to be classified at a time.

    Raises:
        ModelFileError: it cannot be read, is not a model, or its metadata is missing or damaged.
    """
    return Info(**vars(describe_model_file(path, backend=backend)), threads=threads)


def _here() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {Machine.here().bits}-bit",
        "versions_here": versions("fmx-runtime", "numpy", "pillow"),
    }


def _measured(metadata: ModelMetadata) -> Iterator[tuple[str, str]]:
    if accuracy := metadata.accuracy:
        where = f"{accuracy.size:,} images of {accuracy.data}"
        same = f"the same label as Keras for {accuracy.agreement:.2%}"
        if accuracy.file is None or accuracy.keras is None:
            yield "accuracy", f"unknown; {same} of {where}"
        else:
            yield "accuracy", f"{accuracy.file:.2%} on {where}"
            yield "", f"Keras {accuracy.keras:.2%}; {same}"
    if quantization := metadata.quantization:
        yield "quantization", quantization.scheme
        sample = f"{quantization.size:,} images of {quantization.split}"
        yield "calibration", f"{quantization.calibration} over {sample}, seed {quantization.seed}"
        if quantization.excluded_layers:
            yield "", f"kept in float: {', '.join(quantization.excluded_layers)}"
    if metadata.test_vectors:
        yield "self-test", f"with {len(metadata.test_vectors.outputs):,} test vectors"


def _origin(metadata: ModelMetadata) -> Iterator[tuple[str, str]]:
    origin = metadata.provenance
    yield "origin", f"recipe {origin.recipe}, seed {origin.seed}, {origin.data}"
    data, keras = origin.data_digest[:_DIGITS], origin.keras_digest[:_DIGITS]
    yield "", f"data {data}…, Keras model {keras}…, commit {origin.commit[:_DIGITS]}"
    made_with = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    yield "made with", made_with or "unknown"


def _wrapped(heading: str, value: str) -> list[str]:
    return textwrap.wrap(
        value,
        min(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns),
        initial_indent=heading.ljust(_HEADING),
        subsequent_indent=" " * _HEADING,
        break_long_words=False,
        break_on_hyphens=False,
    )
