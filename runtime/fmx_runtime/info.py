"""What a model file says of itself, and what would run it here; no interpreter is loaded."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_runtime.backend import available, sniff
from fmx_runtime.card import ModelCard
from fmx_runtime.carrier import read_card, read_model
from fmx_runtime.errors import ModelFileError
from fmx_runtime.output import Recorded
from fmx_runtime.packages import versions
from fmx_runtime.remedy import Machine, how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.backend import BackendName, ModelFormat

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
class Info(Recorded):
    """What there is to know of one file on this machine.

    Attributes:
        path: of the file.
        format: of the model in it.
        size_bytes: of the file.
        problem: what is wrong with it, in a line; None if it is as it was exported.
        card: what it says of itself.
        interpreter: name and version of what would run it here; None if nothing would.
        remedy: what to do where nothing would; None otherwise.
        threads: pictures that would be answered at a time.
    """

    path: str
    format: ModelFormat
    size_bytes: int
    problem: str | None
    card: ModelCard
    interpreter: str | None
    remedy: str | None
    threads: int

    @property
    def error(self) -> str | None:
        """See `fmx_runtime.output.Answer`."""
        return f"'{self.path}': {self.problem}" if self.problem else None

    @property
    def exit_code(self) -> int:
        """See `fmx_runtime.output.Answer`."""
        return ModelFileError.exit_code if self.problem else 0

    def record(self) -> dict[str, Any]:
        """The card without the pixels of its golden pictures, and the rest."""
        card = dataclasses.asdict(self.card)
        golden = card.pop("golden")
        return {
            "path": self.path,
            "format": self.format,
            "size_bytes": self.size_bytes,
            "whole": self.problem is None,
            **card,
            "golden_pictures": len(golden["outputs"]) if golden else 0,
            "interpreter": self.interpreter,
            "threads": self.threads,
            **_here(),
            **({"error": self.error} if self.error else {}),
        }

    def lines(self) -> tuple[str, ...]:
        """A heading and a value each, wrapped."""
        return tuple(line for heading, value in self._rows() for line in _wrapped(heading, value))

    def _rows(self) -> Iterator[tuple[str, str]]:
        card = self.card
        yield "file", self.path
        yield "", f"{_FORMATS[self.format]}, {card.precision}, {self.size_bytes:,} bytes"
        yield "checksum", self.problem or "whole: the file is as it was exported"
        yield "model", f"{card.name}, {card.task}"
        more = ", …" if len(card.labels) > _FEW_LABELS else ""
        yield "labels", f"{len(card.labels):,}: {', '.join(card.labels[:_FEW_LABELS])}{more}"
        spec = card.input
        yield "input", f"{spec.width}x{spec.height} {_COLOURS[spec.channels]}, {spec.dtype}"
        yield "", f"other sizes are {_RESIZE[spec.resize]}; {_POLARITY[spec.polarity]}"
        if spec.subject == "garment":
            yield "", "in photographs the garment is found"
        yield "output", f"{card.output} of {len(card.labels):,} classes"
        yield from _measured(card)
        yield from _origin(card)
        yield "runs here with", self.interpreter or f"no interpreter; {self.remedy}"
        here = _here()
        workers = "1 picture" if self.threads == 1 else f"{self.threads} pictures"
        yield "", f"Python {here['python']} on {here['machine']}; {workers} at a time"
        yield "", ", ".join(f"{name} {version}" for name, version in here["versions_here"].items())


def read(path: str, *, backend: BackendName | None = None, threads: int = 1) -> Info:
    """Read a model file's card, and compare its checksum.

    Args:
        path: a ``.tflite`` or ``.onnx`` file.
        backend: the interpreter that is wanted; None for the first installed one that fits.
        threads: pictures that are to be answered at a time.

    Raises:
        ModelFileError: it cannot be read, is no model, or its card is missing or damaged.
    """
    content = read_model(Path(path))
    try:
        card = ModelCard.from_json(read_card(content))
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error
    problem = None
    try:
        card.check_model(content)
    except ModelFileError as error:
        problem = str(error)
    model_format = sniff(content)
    assert model_format  # noqa: S101  there was a card in it
    fitting = [name for name in available() if (name == "onnxruntime") == (model_format == "onnx")]
    chosen = [name for name in fitting if name == (backend or name)]
    wanted = backend or ("onnxruntime" if model_format == "onnx" else "ai-edge-litert")
    return Info(
        path=path,
        format=model_format,
        size_bytes=len(content),
        problem=problem,
        card=card,
        interpreter=" ".join(*versions(chosen[0]).items()) if chosen else None,
        remedy=None if chosen else how_to_install(wanted, Machine.here()),
        threads=threads,
    )


def _here() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {Machine.here().bits}-bit",
        "versions_here": versions("fmx-runtime", "numpy", "pillow"),
    }


def _measured(card: ModelCard) -> Iterator[tuple[str, str]]:
    if accuracy := card.accuracy:
        where = f"{accuracy.size:,} pictures of {accuracy.data}"
        same = f"the same label as Keras for {accuracy.agreement:.2%}"
        if accuracy.file is None or accuracy.keras is None:
            yield "accuracy", f"unknown; {same} of {where}"
        else:
            yield "accuracy", f"{accuracy.file:.2%} on {where}"
            yield "", f"Keras {accuracy.keras:.2%}; {same}"
    if quantization := card.quantization:
        yield "quantization", quantization.scheme
        sample = f"{quantization.size:,} pictures of {quantization.split}"
        yield "calibration", f"{quantization.calibration} over {sample}, seed {quantization.seed}"
        if quantization.float_layers:
            yield "", f"kept in float: {', '.join(quantization.float_layers)}"
    if card.golden:
        yield "self-test", f"with {len(card.golden.outputs):,} golden pictures"


def _origin(card: ModelCard) -> Iterator[tuple[str, str]]:
    origin = card.provenance
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
