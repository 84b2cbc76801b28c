"""What was measured, on which images and machines: raw samples as versioned JSON, immutable.

Statistics are computed when they are read; the file holds none. docs/benchmark-result.md describes
it key by key.

History of the schema:

1. one machine; every process measured several rounds
2. several machines (``runs``); each round in a fresh process; throughput by batch and threads,
   probabilities of the true labels, models that failed, the machine's state meanwhile, peers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fmx_runtime.bench.machine import Machine, MachineState  # noqa: TC001 (the codec reads these types)
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Precision  # noqa: TC001 (likewise)
from fmx_runtime.support import json_codec

__all__ = [
    "SCHEMA",
    "Failure",
    "ReferenceToolTiming",
    "Result",
    "Round",
    "Run",
    "Settings",
    "Throughput",
    "Variant",
]

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run was done.

    Attributes:
        rounds: in each of them every model is measured once, one after the other.
        calls: timed single-image calls of each model in each round, at most.
        warmup: untimed calls before them.
        core: the processor core that processes on one thread were bound to; None where that cannot
            be.
        batches: images that were handed over in one call, to measure throughput.
        threads: of the interpreter, likewise.
    """

    rounds: int
    calls: int
    warmup: int
    core: int | None
    batches: tuple[int, ...]
    threads: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one fresh process measured of one model, on one thread.

    Attributes:
        latencies_us: microseconds of each single-image call, from its pixels to probabilities.
        start_s: seconds from the start of the process to its first answer.
        peak_bytes: the most memory that it held up to then.
    """

    latencies_us: tuple[float, ...]
    start_s: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Images per second, once for each repetition, of ``batch`` handed over in one call.

    Exported networks take one image at a time, and answer a batch one after the other.
    """

    batch: int
    threads: int
    rates: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One model in one form, and all that was measured of it on one machine.

    Attributes:
        name: the file's name.
        format: what runs it.
        precision: of weights and activations.
        runtime: interpreter and version.
        size_bytes: of the file.
        sha256: of the file, in hex.
        macs: multiply-accumulates for one image, None where nobody has counted them.
        rounds: in the order they were run; a model whose start takes seconds has fewer.
        throughputs: one for each pair of batch and threads.
        answers: the label that each image got, by number.
        scores: the probability that each answer came with, 0 to 1.
        true_scores: the probability that each image's true label got, 0 to 1.
    """

    name: str
    format: Literal["keras", "tflite", "onnx"]
    precision: Precision
    runtime: str
    size_bytes: int
    sha256: str
    macs: int | None
    rounds: tuple[Round, ...]
    throughputs: tuple[Throughput, ...]
    answers: tuple[int, ...]
    scores: tuple[float, ...]
    true_scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A model that was not measured, or not to the end, and why, in one line."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReferenceToolTiming:
    """Another tool's time beside ours, of the same work in the same rounds.

    Attributes:
        peer: the tool.
        version: of it.
        variant: the model file's name.
        statistic: that both figures are, of one round's calls.
        what: the work that is timed.
        theirs_us: microseconds, one for each round.
        ours_us: likewise.
    """

    peer: str
    version: str
    variant: str
    statistic: Literal["mean", "p50"]
    what: str
    theirs_us: tuple[float, ...]
    ours_us: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was measured on one machine.

    Attributes:
        place: ``here``, or what the device is called.
        machine_states: the machine's state before the first round and after each.
        variants: the Keras model first, if it took part, then the files.
        failures: of models that were to take part.
        peers: other tools' figures.
    """

    place: str
    machine: Machine
    settings: Settings
    machine_states: tuple[MachineState, ...]
    variants: tuple[Variant, ...]
    failures: tuple[Failure, ...]
    peers: tuple[ReferenceToolTiming, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """Runs on the same images.

    Attributes:
        data: which images, for example ``fashion-mnist test``.
        created: when the first run ended, UTC, ISO 8601.
        class_names: in the order of their numbers.
        labels: the true label of each image, by number.
        images_sha256: of the images and labels, in hex.
        runs: this machine's first, then the devices'.
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
            DataError: no run or no image; or a model has a label that there is not, an image
                without an answer, or a round without times.
        """
        if not self.runs or not self.labels:
            raise DataError("the benchmark result is empty: measure at least one image")
        known = set(range(len(self.class_names)))
        if not known.issuperset(self.labels):
            raise DataError("the benchmark result has images of classes that it does not name")
        for run in self.runs:
            for variant in run.variants:
                self._check(variant, known)

    def _check(self, variant: Variant, known: set[int]) -> None:
        named = f"the benchmark result: '{variant.name}'"
        lists = (variant.answers, variant.scores, variant.true_scores)
        if {len(values) for values in lists} != {len(self.labels)}:
            raise DataError(f"{named} has not answered each image once; measure again")
        if not known.issuperset(variant.answers):
            raise DataError(f"{named} answers with classes that the data have not; measure again")
        times = [min(one.latencies_us, default=0) for one in variant.rounds]
        rates = [min(one.rates, default=0) for one in variant.throughputs]
        if not times or min(times) <= 0 or min(rates, default=1) <= 0:
            raise DataError(f"{named} has a round without times; measure again")

    def to_json(self) -> str:
        """The result as one line of text; equal results give equal text."""
        return json_codec.encode(self)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read a result; keys that this version does not know are passed over.

        Raises:
            DataError: no JSON object, another schema, or a value that is missing or wrong.
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
