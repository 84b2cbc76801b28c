"""The benchmark result: raw samples as versioned, immutable JSON.

The file holds samples and no statistics; those are computed when the result is read.
docs/benchmark-result.md describes each key.

History of the schema:

1. one machine; each process measured several rounds
2. several machines (``runs``); each round in a fresh process; throughput by batch size and number
   of threads, scores of the true labels, failures, machine states, reference tools
3. the field's terms: ``rounds`` are ``repeats``, ``calls`` ``iterations``, ``calls_us``
   ``latencies_us``, ``start_s`` ``first_prediction_s``, ``rates`` ``images_per_second``,
   ``answers`` ``predictions``, ``true_scores`` ``true_label_scores``, ``moments``
   ``machine_states``, ``place`` ``device`` (``here`` is ``local``), ``peers``
   ``reference_tools``, ``pictures_sha256`` ``images_sha256``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fmx_runtime.bench.machine import Machine, MachineState  # noqa: TC001 (the codec reads these types)
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Precision  # noqa: TC001 (likewise)
from fmx_runtime.support import json_codec

__all__ = [
    "LOCAL",
    "SCHEMA",
    "Failure",
    "ReferenceToolTiming",
    "Repeat",
    "Result",
    "Run",
    "Settings",
    "Throughput",
    "Variant",
]

SCHEMA = 3
LOCAL = "local"
"""`Run.device` of the machine that the benchmark was started on."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run was measured.

    Attributes:
        repeats: how often each model was measured, each time in a fresh process.
        iterations: the most timed single-image predictions of each model in each repeat.
        warmup: untimed predictions before them.
        core: the processor core that single-threaded processes were bound to; None where processes
            cannot be bound.
        batches: the batch sizes of the throughput measurement.
        threads: the numbers of interpreter threads of the throughput measurement.
    """

    repeats: int
    iterations: int
    warmup: int
    core: int | None
    batches: tuple[int, ...]
    threads: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """What one fresh process measured of one model on one thread.

    Attributes:
        latencies_us: microseconds of each single-image prediction, from pixels to scores.
        first_prediction_s: seconds from the start of the process to its first prediction.
        peak_bytes: the process's peak memory up to its first prediction.
    """

    latencies_us: tuple[float, ...]
    first_prediction_s: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """The throughput at one batch size and number of threads.

    Exported networks take one image at a time, so a batch is predicted image by image.

    Attributes:
        batch: images in one call.
        threads: threads of the interpreter.
        images_per_second: one value for each repetition.
    """

    batch: int
    threads: int
    images_per_second: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One model in one format and precision, and all that was measured of it on one machine.

    Attributes:
        name: the file's name.
        format: ``keras``, ``tflite`` or ``onnx``.
        precision: of weights and activations.
        runtime: interpreter and version.
        size_bytes: of the file.
        sha256: of the file, in hex.
        macs: multiply-accumulates of one prediction; None if they were not counted.
        repeats: in the order of measurement; the Keras model has fewer, because it loads slowly.
        throughputs: one for each pair of batch size and number of threads.
        predictions: the predicted class of each image, by number.
        scores: the score of each predicted class, 0 to 1.
        true_label_scores: the score of each image's true label, 0 to 1.
    """

    name: str
    format: Literal["keras", "tflite", "onnx"]
    precision: Precision
    runtime: str
    size_bytes: int
    sha256: str
    macs: int | None
    repeats: tuple[Repeat, ...]
    throughputs: tuple[Throughput, ...]
    predictions: tuple[int, ...]
    scores: tuple[float, ...]
    true_label_scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A model or device that could not be measured, and the reason in one line."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReferenceToolTiming:
    """The time of a reference tool beside fmx's time for the same work, in the same repeats.

    Attributes:
        tool: the tool's name.
        version: the tool's version.
        variant: the model file's name.
        statistic: the statistic of one repeat's calls that both figures are.
        what: the work that is timed.
        tool_us: the tool's microseconds, one value for each repeat.
        fmx_us: fmx's microseconds, one value for each repeat.
    """

    tool: str
    version: str
    variant: str
    statistic: Literal["mean", "p50"]
    what: str
    tool_us: tuple[float, ...]
    fmx_us: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was measured on one machine.

    Attributes:
        device: `LOCAL`, or the device's host name.
        machine: the machine's description.
        settings: how it was measured.
        machine_states: the machine's state before the first repeat and after each.
        variants: the Keras model first, if it was measured, then the model files.
        failures: models that could not be measured.
        reference_tools: times of reference tools.
    """

    device: str
    machine: Machine
    settings: Settings
    machine_states: tuple[MachineState, ...]
    variants: tuple[Variant, ...]
    failures: tuple[Failure, ...]
    reference_tools: tuple[ReferenceToolTiming, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """Runs on one or more machines, all on the same images.

    Attributes:
        data: the name of the images, for example ``fashion-mnist test``.
        created: when the first run ended; UTC, ISO 8601.
        class_names: in the order of their numbers.
        labels: the true class of each image, by number.
        images_sha256: of images and labels, in hex.
        runs: the local machine's first, then the devices'.
        schema: the schema of the JSON.
    """

    data: str
    created: str
    class_names: tuple[str, ...]
    labels: tuple[int, ...]
    images_sha256: str
    runs: tuple[Run, ...]
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Check what all statistics rely on.

        Raises:
            DataError: There is no run or no image, a label has no class name, a model has not
                exactly one prediction for each image, or a time or throughput is missing.
        """
        if not self.runs or not self.labels:
            raise DataError("the benchmark result is empty: measure at least one image")
        classes = set(range(len(self.class_names)))
        if not classes.issuperset(self.labels):
            raise DataError("the benchmark result has labels without a class name; measure again")
        for run in self.runs:
            for variant in run.variants:
                self._check(variant, classes)

    def _check(self, variant: Variant, classes: set[int]) -> None:
        place = f"the benchmark result: '{variant.name}'"
        per_image = (variant.predictions, variant.scores, variant.true_label_scores)
        if {len(values) for values in per_image} != {len(self.labels)}:
            raise DataError(f"{place} does not have one prediction for each image; measure again")
        if not classes.issuperset(variant.predictions):
            raise DataError(f"{place} predicts classes that the data does not have; measure again")
        shortest = [min(repeat.latencies_us, default=0) for repeat in variant.repeats]
        lowest = [min(one.images_per_second, default=0) for one in variant.throughputs]
        if not shortest or min(shortest) <= 0 or min(lowest, default=1) <= 0:
            raise DataError(f"{place} has a repeat without times; measure again")

    def to_json(self) -> str:
        """Return the result as one line of JSON; equal results give equal text."""
        return json_codec.encode(self)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read a result from JSON; unknown keys are ignored.

        Raises:
            DataError: The text is not a JSON object or has another schema, or a value is missing or
                wrong.
        """
        try:
            document = json_codec.parse(text)
            if document.get("schema") != SCHEMA:
                raise DataError(
                    f"the benchmark result has schema {document.get('schema')!r}, this version of "
                    f"fmx reads {SCHEMA}: measure again, or use the version that wrote it"
                )
            return json_codec.decode(cls, document)
        except json_codec.CodecError as error:
            raise DataError(f"the benchmark result {error}; measure again") from error
