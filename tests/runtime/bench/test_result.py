"""The result as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fmx_runtime.bench.result import SCHEMA, Result
from fmx_runtime.errors import DataError

REFERENCE = Path(__file__).parents[3] / "benchmarks" / "reference" / "result.json"


@pytest.fixture(scope="module")
def text() -> str:
    """A result that was measured."""
    return REFERENCE.read_text("utf-8").strip()


def test_a_result_survives_its_json(text: str) -> None:
    """Reading and writing gives the same text."""
    assert Result.from_json(text).to_json() == text


def test_unknown_keys_are_ignored(text: str) -> None:
    """A later version may add keys."""
    document = json.loads(text)
    document["runs"][0]["more"] = 1
    assert Result.from_json(json.dumps(document)).to_json() == text


def test_another_schema_is_refused(text: str) -> None:
    """The message names both schemas."""
    document = {**json.loads(text), "schema": 2}
    with pytest.raises(DataError, match=f"has schema 2, this version of fmx reads {SCHEMA}"):
        Result.from_json(json.dumps(document))


def test_results_that_contradict_themselves(text: str) -> None:
    """Missing predictions, unknown classes, missing times and an empty result are refused."""
    result = Result.from_json(text)
    (run,) = result.runs
    for change, message in (
        ({"predictions": ()}, "does not have one prediction for each image"),
        ({"predictions": (77,) * len(result.labels)}, "predicts classes that the data does not"),
        ({"repeats": ()}, "has a repeat without times"),
    ):
        broken = dataclasses.replace(run.variants[0], **change)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=message):
            dataclasses.replace(result, runs=(dataclasses.replace(run, variants=(broken,)),))
    with pytest.raises(DataError, match="is empty"):
        dataclasses.replace(result, runs=())
    with pytest.raises(DataError, match="labels without a class name"):
        dataclasses.replace(result, class_names=("one",))
