"""Show the metadata of a model file, and the interpreter that would run it on this machine."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmx_runtime.backends.install_hints import Platform
from fmx_runtime.command.results import RecordResult
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.describe import ModelFileDescription, describe_model_file
from fmx_runtime.support.packages import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.backends.base import BackendName
    from fmx_runtime.model_file.metadata import ModelMetadata

__all__ = ["ModelInfo", "read_model_info"]

_MAX_WIDTH = 100  # longer lines are hard to read
_HEADING_WIDTH = 16
_SHOWN_LABELS = 10
_CHECKSUM_DIGITS = 16  # enough to compare by eye
_FORMATS = {"tflite": "TFLite", "onnx": "ONNX"}
_COLORS = {1: "gray", 3: "RGB"}
_RESIZE = {"fit": "resized to fit and padded", "stretch": "stretched"}
_POLARITY = {
    "light-on-dark": "images with a light border are inverted",
    "any": "images are not inverted",
}


@dataclass(frozen=True, kw_only=True)
class ModelInfo(ModelFileDescription, RecordResult):
    """A model file's description, as a `fmx_runtime.command.results.Result`.

    Attributes:
        threads: number of images that would be classified at a time.
    """

    threads: int

    @property
    def error(self) -> str | None:
        """See `fmx_runtime.command.results.Result`."""
        return f"'{self.path}': {self.problem}" if self.problem else None

    @property
    def exit_code(self) -> int:
        """See `fmx_runtime.command.results.Result`."""
        return ModelFileError.exit_code if self.problem else 0

    def record(self) -> dict[str, Any]:
        """Return the description; of the test vectors only their number."""
        metadata = dataclasses.asdict(self.metadata)
        test_vectors = metadata.pop("test_vectors")
        return {
            "path": self.path,
            "format": self.format,
            "size_bytes": self.size_bytes,
            "intact": self.problem is None,
            **metadata,
            "test_vector_count": len(test_vectors["outputs"]) if test_vectors else 0,
            "interpreter": self.interpreter,
            "threads": self.threads,
            **_describe_machine(),
            **({"error": self.error} if self.error else {}),
        }

    def lines(self) -> tuple[str, ...]:
        """Return headings and values in two columns, wrapped to the terminal."""
        return tuple(line for heading, value in self._rows() for line in _wrap(heading, value))

    def _rows(self) -> Iterator[tuple[str, str]]:
        metadata = self.metadata
        labels = metadata.labels
        yield "file", self.path
        yield "", f"{_FORMATS[self.format]}, {metadata.precision}, {self.size_bytes:,} bytes"
        yield "checksum", self.problem or "correct: the file is as it was exported"
        yield "model", f"{metadata.name}, {metadata.task}"
        more = ", …" if len(labels) > _SHOWN_LABELS else ""
        yield "labels", f"{len(labels):,}: {', '.join(labels[:_SHOWN_LABELS])}{more}"
        yield from _input_rows(metadata)
        yield "output", f"{metadata.output} of {len(labels):,} classes"
        yield from _measurement_rows(metadata)
        yield from _provenance_rows(metadata)
        yield "interpreter", self.interpreter or f"none installed; {self.install_hint}"
        machine = _describe_machine()
        parallel = "1 image" if self.threads == 1 else f"{self.threads} images"
        yield "machine", f"{machine['machine']}; {parallel} at a time"
        packages = {"Python": machine["python"], **machine["package_versions"]}
        yield "", ", ".join(f"{name} {version}" for name, version in packages.items())


def read_model_info(
    path: str, *, backend: BackendName | None = None, threads: int = 1
) -> ModelInfo:
    """Read a model file's metadata and compare its checksum.

    Args:
        path: a ``.tflite`` or ``.onnx`` file.
        backend: the interpreter to look for; None for the first installed one that fits.
        threads: number of images to classify at a time.

    Raises:
        ModelFileError: the file cannot be read, is not a model, or its metadata is missing or
            damaged.
    """
    return ModelInfo(**vars(describe_model_file(path, backend=backend)), threads=threads)


def _describe_machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {Platform.here().bits}-bit",
        "package_versions": versions("fmx-runtime", "numpy", "pillow"),
    }


def _input_rows(metadata: ModelMetadata) -> Iterator[tuple[str, str]]:
    spec = metadata.input
    yield "input", f"{spec.width}x{spec.height} {_COLORS[spec.channels]}, {spec.dtype}"
    yield "", f"other sizes are {_RESIZE[spec.resize]}; {_POLARITY[spec.polarity]}"
    if spec.subject == "garment":
        yield "", "in photos, the garment is segmented"


def _measurement_rows(metadata: ModelMetadata) -> Iterator[tuple[str, str]]:
    if accuracy := metadata.accuracy:
        images = f"{accuracy.size:,} images of {accuracy.data}"
        agreement = f"same label as Keras for {accuracy.agreement:.2%}"
        if accuracy.file is None or accuracy.keras is None:
            yield "accuracy", f"unknown; {agreement} of {images}"
        else:
            yield "accuracy", f"{accuracy.file:.2%} on {images}"
            yield "", f"Keras model: {accuracy.keras:.2%}; {agreement}"
    if quantization := metadata.quantization:
        yield "quantization", quantization.scheme
        sample = f"{quantization.size:,} images of {quantization.split}"
        yield "calibration", f"{quantization.calibration} on {sample}, seed {quantization.seed}"
        if quantization.excluded_layers:
            yield "", f"layers not quantized: {', '.join(quantization.excluded_layers)}"
    if metadata.test_vectors:
        yield "self-test", f"{len(metadata.test_vectors.outputs):,} test vectors"


def _provenance_rows(metadata: ModelMetadata) -> Iterator[tuple[str, str]]:
    provenance = metadata.provenance
    yield "trained", f"recipe {provenance.recipe}, seed {provenance.seed}, {provenance.data}"
    data = provenance.data_digest[:_CHECKSUM_DIGITS]
    keras = provenance.keras_digest[:_CHECKSUM_DIGITS]
    commit = provenance.commit[:_CHECKSUM_DIGITS]
    yield "", f"data {data}…, Keras model {keras}…, commit {commit}"
    packages = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    yield "exported with", packages or "unknown"


def _wrap(heading: str, value: str) -> list[str]:
    return textwrap.wrap(
        value,
        min(_MAX_WIDTH, shutil.get_terminal_size((_MAX_WIDTH, 0)).columns),
        initial_indent=heading.ljust(_HEADING_WIDTH),
        subsequent_indent=" " * _HEADING_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )
