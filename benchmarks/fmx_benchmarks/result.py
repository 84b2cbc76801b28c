"""What one run measured: raw samples and answers, immutable, as versioned JSON.

Statistics are computed when they are read; the file holds none.

History of the schema:

1. first version
"""

from __future__ import annotations

import functools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fmx_benchmarks import accuracy as accuracies
from fmx_benchmarks import latency
from fmx_benchmarks.machine import Machine  # noqa: TC001 (likewise)
from fmx_runtime import codec
from fmx_runtime.card import Precision  # noqa: TC001 (the codec reads this type)
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SCHEMA", "Result", "Round", "Settings", "Variant"]

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the run was done."""

    rounds: int
    """In each round every variant is measured once, one after the other."""
    calls: int
    """Timed single-picture calls of each variant in each round."""
    warmup: int
    """Untimed calls before them."""
    core: int | None
    """The processor core that all measuring processes were bound to; None where that cannot be."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One variant's times in one round."""

    calls_us: tuple[float, ...]
    """Microseconds of each single-picture call, at least one."""
    pass_s: float
    """Seconds that one pass over all pictures took."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One model in one form, and all that was measured of it.

    Attributes:
        name: the file's name.
        format: what runs it.
        precision: of weights and activations.
        runtime: interpreter and version.
        size_bytes: of the file.
        sha256: of the file, in hex.
        starts_s: seconds from the start of a fresh process to its first answer, one per process.
        peaks_bytes: the most memory that each of these processes held up to then.
        rounds: in the order they were run, at least one.
        answers: the label that each picture got, by number.
        scores: the probability that each answer came with, 0 to 1.
    """

    name: str
    format: Literal["keras", "tflite", "onnx"]
    precision: Precision
    runtime: str
    size_bytes: int
    sha256: str
    starts_s: tuple[float, ...]
    peaks_bytes: tuple[int, ...]
    rounds: tuple[Round, ...]
    answers: tuple[int, ...]
    scores: tuple[float, ...]

    @functools.cached_property
    def calls_us(self) -> tuple[float, ...]:
        """Microseconds of each single-picture call of all rounds."""
        return tuple(value for one in self.rounds for value in one.calls_us)

    def latency_us(self, percent: float) -> float:
        """The time that ``percent`` of all calls stayed below, in microseconds."""
        return latency.percentile(self.calls_us, percent)

    @property
    def pictures_per_s(self) -> float:
        """Over all pictures, in the median round."""
        return len(self.answers) / statistics.median(one.pass_s for one in self.rounds)

    @property
    def start_s(self) -> float:
        """Seconds from the start of a process to its first answer: median."""
        return statistics.median(self.starts_s)

    @property
    def peak_bytes(self) -> float:
        """The most memory that a process held up to its first answer: median."""
        return statistics.median(self.peaks_bytes)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of the suite.

    Attributes:
        data: which pictures, for example ``fashion-mnist test``.
        created: when the run ended, UTC, ISO 8601.
        class_names: in the order of their numbers.
        labels: the true label of each picture, by number.
        machine: what it ran on.
        settings: how it was run.
        variants: the Keras model first, if it took part, then the files.
    """

    data: str
    created: str
    class_names: tuple[str, ...]
    labels: tuple[int, ...]
    machine: Machine
    settings: Settings
    variants: tuple[Variant, ...]
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Check what all statistics rely on.

        Raises:
            DataError: there are no variants, or a variant lacks rounds, answers or start-ups.
        """
        if not self.variants or not self.labels:
            raise DataError("a benchmark result needs at least one model and one picture")
        for variant in self.variants:
            lengths = {len(variant.answers), len(variant.scores), len(self.labels)}
            numbers = range(len(self.class_names))
            timed = variant.starts_s and variant.peaks_bytes and variant.rounds
            rounds_fit = len(variant.rounds) == len(self.variants[0].rounds)
            if len(lengths) != 1 or not timed or not rounds_fit:
                raise DataError(
                    f"benchmark result: '{variant.name}' was not measured as often as the others; "
                    "measure again"
                )
            if not {*variant.answers, *self.labels} <= set(numbers):
                raise DataError(
                    f"benchmark result: '{variant.name}' has labels outside 0 to {numbers[-1]}"
                )
            if not all(one.calls_us and one.pass_s > 0 for one in variant.rounds):
                raise DataError(f"benchmark result: '{variant.name}' has a round without times")

    @property
    def reference(self) -> Variant:
        """What answers are compared with: the Keras model, or else a float file, or the first."""
        floats = [one for one in self.variants if one.precision == "float32"]
        return next((one for one in floats if one.format == "keras"), (floats or self.variants)[0])

    def baseline(self, variant: Variant) -> Variant | None:
        """What times and sizes are compared with: the float file of the same format, if any."""
        same = (one for one in self.variants if one.format == variant.format != "keras")
        return next((one for one in same if one.precision == "float32"), None)

    @functools.cached_property
    def truth(self) -> NDArray[np.int64]:
        """The labels as int64 ``(n,)``."""
        return np.array(self.labels, dtype=np.int64)

    def accuracy(self, variant: Variant) -> accuracies.Proportion:
        """The share of pictures that got their true label."""
        return accuracies.proportion(_answers(variant) == self.truth)

    def agreement(self, variant: Variant) -> accuracies.Proportion:
        """The share of pictures that got the reference's label."""
        return accuracies.proportion(_answers(variant) == _answers(self.reference))

    def difference(self, variant: Variant) -> accuracies.Difference:
        """The variant's accuracy against the reference's."""
        return accuracies.difference(self.truth, _answers(self.reference), _answers(variant))

    def confusion(self, variant: Variant) -> NDArray[np.int64]:
        """int64 ``(classes, classes)``; rows are the truth, columns the answer."""
        return accuracies.confusion(self.truth, _answers(variant), len(self.class_names))

    def speedups(self, variant: Variant, baseline: Variant) -> tuple[float, ...]:
        """How many times faster than ``baseline`` single pictures are answered, per round."""
        return latency.speedups(
            [one.calls_us for one in baseline.rounds],
            [one.calls_us for one in variant.rounds],
        )

    def disagreements(self, variant: Variant) -> NDArray[np.int64]:
        """The pictures that the reference answers otherwise: int64 ``(m,)``, rising."""
        return np.flatnonzero(_answers(variant) != _answers(self.reference))

    def to_json(self) -> str:
        """The result as one line of text; equal results give equal text."""
        return codec.encode(self)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read a result; keys that this version does not know are passed over.

        Raises:
            DataError: no JSON object, a newer schema, or a value that is missing or wrong.
        """
        try:
            document = codec.parse(text)
            schema = document.get("schema")
            if not isinstance(schema, int) or schema > SCHEMA:
                raise DataError(
                    f"the benchmark result has schema {schema!r}, this fmx-toolkit reads up to "
                    f"{SCHEMA}: upgrade it with 'pip install -U fmx-toolkit'"
                )
            return codec.decode(cls, document)
        except codec.CodecError as error:
            raise DataError(f"the benchmark result {error}; measure again") from error


def _answers(variant: Variant) -> NDArray[np.int64]:
    return np.array(variant.answers, dtype=np.int64)
