"""What ``fmx bench`` measures: model files beside the Keras model that they were exported from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_runtime.bench import session as runs
from fmx_runtime.bench.journal import Journal
from fmx_runtime.bench.session import Model
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.checksum import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fmx_runtime.bench.result import Failure, Result, Run, Settings
    from fmx_runtime.labeled_images import LabeledImages

__all__ = ["PART", "Plan", "measure", "plan", "with_macs"]

PART = "result.json.part"
"""The journal, beside the reports that it will become."""

_KERAS_WORKER = "fmx_benchmarks.measure.keras_worker"
_KERAS_ROUNDS = 3
"""Each costs the seconds that TensorFlow takes to load."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured, and how.

    Attributes:
        models: the Keras model first, if it takes part, then the files as given.
        labeled: the images.
        class_names: in the order of their numbers.
        settings: how.
        failures: what cannot take part.
    """

    models: tuple[Model, ...]
    labeled: LabeledImages
    class_names: tuple[str, ...]
    settings: Settings
    failures: tuple[Failure, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The model files, without the Keras model."""
        return tuple(model.path for model in self.models if model.format != "keras")


def plan(
    files: Sequence[Path],
    labeled: LabeledImages,
    *,
    keras_model: Path | None,
    rounds: int = 20,
    calls: int = 500,
) -> Plan:
    """Open everything once, so that what cannot be measured is known before anything is.

    Args:
        files: model files.
        labeled: the images.
        keras_model: the ``.keras`` file that they were exported from.
        rounds: see `Settings`.
        calls: likewise.

    Raises:
        DataError: no files, or a number below one.
        ModelFileError: not one of the files can be measured.
    """
    if not files:
        raise DataError("there is no model file to benchmark; export some with 'fmx export'")
    settings = runs.settings(rounds=rounds, calls=calls)
    models, failures, class_names = runs.choose(files, labeled)
    if keras_model is not None:
        models.insert(0, _keras(keras_model, models))
    return Plan(tuple(models), labeled, class_names, settings, tuple(failures))


def measure(
    work: Plan, folder: Path, *, resume: bool, progress: Callable[[str], None]
) -> tuple[Result, Journal]:
    """Measure on this machine.

    Args:
        work: what, and how.
        folder: where the journal is kept, see `PART`.
        resume: whether the journal that is there is gone on with.
        progress: called with a line for each step.

    Returns:
        What was measured; and the journal, open, for what is measured elsewhere.

    Raises:
        DataError: there is nothing to resume, or it was of something else.
        OutputError: the journal cannot be written.
        ModelFileError: not one model could be measured.
    """
    settings, labeled = work.settings, work.labeled
    conditions = runs.conditions(work.models, labeled, settings)
    journal = Journal(folder / PART, conditions, resume=resume)
    try:
        done = runs.run(
            work.models,
            labeled,
            settings,
            journal,
            failures=work.failures,
            progress=progress,
        )
    except BaseException:
        journal.close(finished=False)
        raise
    return runs.result(labeled, done, work.class_names), journal


def with_macs(run: Run, macs: Mapping[str, int | None]) -> Run:
    """The run with its models' multiply-accumulates for one image.

    Args:
        run: of any machine.
        macs: SHA-256 of a file -> its multiply-accumulates; a Keras model has those of a float
            file.
    """
    variants = tuple(
        dataclasses.replace(variant, macs=macs.get(variant.sha256)) for variant in run.variants
    )
    return dataclasses.replace(run, variants=variants)


def _keras(path: Path, files: Sequence[Model]) -> Model:
    """The Keras model, whose input is known from the metadata of a file that was exported from it."""
    content = path.read_bytes()
    metadata = next(
        (one.metadata for one in files if one.precision == "float32"), files[0].metadata
    )
    keras_input = dataclasses.replace(metadata.input, dtype="float32")
    # test vectors and the like are of no use there
    slim = dataclasses.replace(metadata, input=keras_input, test_vectors=None, precision="float32")
    return Model(
        path=path,
        name=path.name,
        format="keras",
        precision="float32",
        metadata=slim,
        size_bytes=len(content),
        sha256=sha256(content),
        worker=_KERAS_WORKER,
        arguments=(slim.to_json(),),
        rounds=_KERAS_ROUNDS,
    )
