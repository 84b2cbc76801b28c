"""What tests of several rooms need: the real images, and what small runs on them lead to.

The runtime's tests also run where there is no TensorFlow to make a model with: there
``$FMX_PREPARED`` names a folder with one, and with some images, see tests/arm. So nothing heavy
is imported before it is needed.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import platform
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from fmx_training.data.dataset import Dataset, Splits

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data import fashion_mnist
    from fmx_training.run_folder import Run


if "FMX_PREPARED" not in os.environ:
    from fmx_training.process_setup import prepare_training_process

    # networks trained in this process must equal those that `fmx train` trains
    prepare_training_process()

# no deadlines: a busy machine is no failure, and an emulated one is slow
settings.register_profile("change", deadline=None, max_examples=50)
settings.register_profile("exhaustive", deadline=None, max_examples=400)
settings.register_profile("emulated", deadline=None, max_examples=15)
settings.load_profile(
    "emulated"
    if "FMX_PREPARED" in os.environ
    else "exhaustive"
    if "FMX_TEST_SEEDS" in os.environ
    else "change"
)

ROOT = Path(__file__).parents[1]
_KEPT_SECONDS = 24 * 3600
"""How long models made from an older state of the source code are kept."""


def _sources_digest() -> str:
    """SHA-256 of all that the shared models depend on, on this machine."""
    files = [ROOT / "constraints.txt", Path(__file__)]
    for package in ("training", "export", "runtime", "benchmarks", "cli"):
        files += sorted((ROOT / package).glob("fmx_*/**/*.py"))
    digest = hashlib.sha256(platform.machine().encode())
    for file in files:
        digest.update(f"{file.relative_to(ROOT)} {file.stat().st_size}".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def made_once() -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that is made once for each state of the source code, for all workers and runs.

    ``made_once(name, make)`` calls ``make(folder)`` unless the folder is there. Tests must not
    change what is in it.
    """
    place = ROOT / "build" / "test-models" / _sources_digest()

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, ready = place / name, place / f"{name}.ready"
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                for old in place.parent.iterdir():
                    if old.stat().st_mtime < time.time() - _KEPT_SECONDS:
                        shutil.rmtree(old, ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                ready.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def quick_int8() -> None:
    """Skips what is only so on processors that have instructions for products of int8."""
    from fmx_runtime.bench import machine

    if not machine.describe().int8_instructions:
        pytest.skip("this processor has no instructions for products of int8, which gains by them")


@pytest.fixture(scope="session")
def prepared_folder() -> Path | None:
    """What was made on another machine for the tests on this one, if it was."""
    given = os.environ.get("FMX_PREPARED")
    return Path(given) if given else None


@pytest.fixture(scope="session")
def found() -> fashion_mnist.Found:
    """Where the real files lie on this machine; fetched into the user's cache if need be."""
    from fmx_training.data import fashion_mnist

    return fashion_mnist.find()


@pytest.fixture(scope="session")
def splits(prepared_folder: Path | None, request: pytest.FixtureRequest) -> Splits:
    """The real images; where they were prepared, some test images stand for all."""
    if prepared_folder:
        with np.load(prepared_folder / "images.npz") as arrays:
            names = tuple(arrays["class_names"].tolist())
            few = Dataset("fashion-mnist test", arrays["images"], arrays["labels"], names)
        return Splits(train=few, validation=few, test=few)
    from fmx_training.data import fashion_mnist

    return fashion_mnist.read(request.getfixturevalue("found"))


@pytest.fixture(scope="session")
def few(splits: Splits, prepared_folder: Path | None) -> Splits:
    """2,000 of the real training images and 500 of each other kind: an epoch takes a second."""
    if prepared_folder:
        pytest.skip("networks are trained where TensorFlow is")
    return dataclasses.replace(
        splits,
        train=splits.train.balanced_sample(2000, 0),
        validation=splits.validation.balanced_sample(500, 0),
        test=splits.test.balanced_sample(500, 0),
    )


@pytest.fixture(scope="session")
def create_run(few: Splits) -> Callable[..., Run]:
    """Creates a run on the few images: ``create_run(folder, epochs=…, seed=…)``."""
    from fmx_training import recipes
    from fmx_training import run_folder as runs
    from fmx_training.data import fashion_mnist
    from fmx_training.data.training_examples import from_dataset

    def create_run(folder: Path, *, epochs: int = 3, seed: int = 0) -> Run:
        recipe = recipes.get("baseline")
        spec = runs.input_spec(
            recipe,
            fashion_mnist.SHAPE,
            polarity=fashion_mnist.POLARITY,
            subject=fashion_mnist.SUBJECT,
        )
        info = runs.describe_run(
            recipe, few.train, from_dataset(few.train), spec, epochs=epochs, seed=seed
        )
        return runs.create_run(folder, info)

    return create_run


@pytest.fixture(scope="session")
def finished(
    create_run: Callable[..., Run],
    train: Callable[..., None],
    made_once: Callable[[str, Callable[[Path], None]], Path],
) -> Run:
    """A run of three epochs that was never interrupted."""
    from fmx_training.run_folder import open_run

    return open_run(made_once("run", lambda folder: train(create_run(folder))))


@pytest.fixture(scope="session")
def train(few: Splits) -> Callable[..., None]:
    """Trains a run on the few images to its end: ``train(run, report=…)``."""
    from fmx_training.data.training_examples import from_dataset
    from fmx_training.train import train

    def on_few(run: Run, report: Callable[[str], None] = lambda _: None) -> None:
        examples = from_dataset(few.train)
        train(run, examples, few.validation, lambda: few.test, report=report)

    return on_few


@pytest.fixture(scope="session")
def source(finished: Run) -> SourceModel:
    """The network of the finished run, as the exporter takes it."""
    import keras

    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import Provenance

    return SourceModel(
        model=keras.models.load_model(finished.model_path, compile=False),
        path=finished.model_path,
        name="baseline",
        labels=finished.info.labels,
        spec=finished.info.input,
        provenance=Provenance(
            recipe="baseline",
            seed=0,
            data=finished.info.data,
            data_digest=finished.info.data_digest,
            keras_digest="0" * 64,
            commit="unknown",
            versions={},
        ),
    )


@pytest.fixture(scope="session")
def exported(
    prepared_folder: Path | None,
    request: pytest.FixtureRequest,
    made_once: Callable[[str, Callable[[Path], None]], Path],
) -> Path:
    """The finished run's export folder: float and int8 TFLite and ONNX files, and the manifest."""
    if prepared_folder:
        return prepared_folder / "exported"
    return made_once("baseline", lambda folder: _export(request, folder))


def _export(request: pytest.FixtureRequest, folder: Path) -> None:
    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.pipeline import export
    from fmx_export.pipeline.formats import FLOAT32, INT8

    splits: Splits = request.getfixturevalue("splits")
    few: Splits = request.getfixturevalue("few")
    export.export(
        request.getfixturevalue("source"),
        formats=(*FLOAT32, *INT8),
        calibration=CalibrationSet(few.train.images[:200], few.train.name, 0),
        validation=splits.validation,
        folder=folder,
        progress=lambda _: None,
    )
