"""What tests of several rooms need: the real pictures, and what small runs on them lead to.

The runtime's tests also run where there is no TensorFlow to make a model with: there
``$FMX_PREPARED`` names a folder with one, and with some pictures, see tests/arm. So nothing heavy
is imported before it is needed.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_training.dataset import Dataset, Splits

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_export.bundle import Source
    from fmx_training import fashion_mnist
    from fmx_training.run import Run


@pytest.fixture(scope="session")
def prepared_folder() -> Path | None:
    """What was made on another machine for the tests on this one, if it was."""
    given = os.environ.get("FMX_PREPARED")
    return Path(given) if given else None


@pytest.fixture(scope="session")
def found() -> fashion_mnist.Found:
    """Where the real files lie on this machine; fetched into the user's cache if need be."""
    from fmx_training import fashion_mnist

    return fashion_mnist.find()


@pytest.fixture(scope="session")
def splits(prepared_folder: Path | None, request: pytest.FixtureRequest) -> Splits:
    """The real pictures; where they were prepared, some test pictures stand for all."""
    if prepared_folder:
        with np.load(prepared_folder / "pictures.npz") as arrays:
            names = tuple(arrays["class_names"].tolist())
            few = Dataset("fashion-mnist test", arrays["images"], arrays["labels"], names)
        return Splits(train=few, validation=few, test=few)
    from fmx_training import fashion_mnist

    return fashion_mnist.read(request.getfixturevalue("found"))


@pytest.fixture(scope="session")
def few(splits: Splits, prepared_folder: Path | None) -> Splits:
    """2,000 of the real training pictures and 500 of each other kind: an epoch takes a second."""
    if prepared_folder:
        pytest.skip("networks are trained where TensorFlow is")
    return dataclasses.replace(
        splits,
        train=splits.train.balanced_sample(2000, 0),
        validation=splits.validation.balanced_sample(500, 0),
        test=splits.test.balanced_sample(500, 0),
    )


@pytest.fixture(scope="session")
def begin(few: Splits) -> Callable[..., Run]:
    """Begins a run on the few pictures: ``begin(folder, epochs=…, seed=…)``."""
    from fmx_training import fashion_mnist, recipes
    from fmx_training import run as runs

    def begin(folder: Path, *, epochs: int = 3, seed: int = 0) -> Run:
        info = runs.plan(
            recipes.get("baseline"),
            few.train,
            polarity=fashion_mnist.POLARITY,
            subject=fashion_mnist.SUBJECT,
            epochs=epochs,
            seed=seed,
        )
        return runs.create(folder, info)

    return begin


@pytest.fixture(scope="session")
def finished(
    begin: Callable[..., Run], few: Splits, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run of three epochs that was never interrupted."""
    from fmx_training.train import train

    run = begin(tmp_path_factory.mktemp("runs") / "whole")
    train(run, few, report=lambda _: None)
    return run


@pytest.fixture(scope="session")
def source(finished: Run) -> Source:
    """The network of the finished run, as the exporter takes it."""
    import keras

    from fmx_export.bundle import Source
    from fmx_runtime.card import Provenance

    return Source(
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
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The finished run's export folder: float and int8 TFLite and ONNX files, and the manifest."""
    if prepared_folder:
        return prepared_folder / "exported"
    from fmx_export import bundle
    from fmx_export.formats import FLOAT32, INT8

    splits: Splits = request.getfixturevalue("splits")
    few: Splits = request.getfixturevalue("few")
    folder = tmp_path_factory.mktemp("exports") / "baseline"
    bundle.export(
        request.getfixturevalue("source"),
        formats=(*FLOAT32, *INT8),
        calibration=bundle.Calibration(few.train.images[:200], few.train.name, 0),
        held_out=splits.validation,
        folder=folder,
        progress=lambda _: None,
    )
    return folder
