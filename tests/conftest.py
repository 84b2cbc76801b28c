"""What tests of several rooms need: the real pictures, and what small runs on them lead to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import keras
import pytest

from fmx_runtime.card import Provenance
from fmx_training import fashion_mnist, recipes
from fmx_training import run as runs
from fmx_training.train import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_export.bundle import Source
    from fmx_training.dataset import Splits
    from fmx_training.run import Run


@pytest.fixture(scope="session")
def found() -> fashion_mnist.Found:
    """Where the real files lie on this machine; fetched into the user's cache if need be."""
    return fashion_mnist.find()


@pytest.fixture(scope="session")
def splits(found: fashion_mnist.Found) -> Splits:
    """The real pictures."""
    return fashion_mnist.read(found)


@pytest.fixture(scope="session")
def few(splits: Splits) -> Splits:
    """2,000 of the real training pictures and 500 of each other kind: an epoch takes a second."""
    return dataclasses.replace(
        splits,
        train=splits.train.balanced_sample(2000, 0),
        validation=splits.validation.balanced_sample(500, 0),
        test=splits.test.balanced_sample(500, 0),
    )


@pytest.fixture(scope="session")
def begin(few: Splits) -> Callable[..., Run]:
    """Begins a run on the few pictures: ``begin(folder, epochs=…, seed=…)``."""

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
    run = begin(tmp_path_factory.mktemp("runs") / "whole")
    train(run, few, report=lambda _: None)
    return run


@pytest.fixture(scope="session")
def source(finished: Run) -> Source:
    """The network of the finished run, as the exporter takes it."""
    from fmx_export.bundle import Source

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
    source: Source, splits: Splits, few: Splits, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The finished run's export folder: float and int8 TFLite and ONNX files, and the manifest."""
    from fmx_export import bundle
    from fmx_export.formats import FLOAT32, INT8

    folder = tmp_path_factory.mktemp("exports") / "baseline"
    bundle.export(
        source,
        formats=(*FLOAT32, *INT8),
        calibration=bundle.Calibration(few.train.images[:200], few.train.name, 0),
        held_out=splits.validation,
        folder=folder,
        progress=lambda _: None,
    )
    return folder
