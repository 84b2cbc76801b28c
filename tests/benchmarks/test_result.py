"""Results are read back as they were written, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks.result import SCHEMA, Result
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_result_survives_its_json(result: Result) -> None:
    """Writing and reading gives an equal result, and equal results give equal text."""
    text = result.to_json()
    again = Result.from_json(text)
    assert again == result
    assert again.to_json() == text
    assert "\n" not in text


def test_no_statistics_are_stored(result: Result) -> None:
    """The document holds samples; what is computed from them is computed when it is read."""
    document = json.loads(result.to_json())
    assert document["schema"] == SCHEMA
    assert set(document["variants"][0]) == {
        "name", "format", "precision", "runtime", "size_bytes", "sha256", "starts_s",
        "peaks_bytes", "rounds", "answers", "scores",
    }  # fmt: skip


def test_figures_are_those_of_the_samples(result: Result) -> None:
    """Accuracy, throughput and start are what NumPy computes from the stored samples."""
    labels = np.array(result.labels)
    for variant in result.variants:
        assert result.accuracy(variant).value == np.mean(np.array(variant.answers) == labels)
        passes = np.median([one.pass_s for one in variant.rounds])
        assert variant.pictures_per_s == pytest.approx(len(labels) / passes)
        assert variant.start_s == pytest.approx(np.median(variant.starts_s))
        assert variant.latency_us(90) == pytest.approx(np.percentile(variant.calls_us, 90))


def _without(path: list[str | int]) -> Callable[[dict[str, object]], None]:
    def change(document: dict[str, object]) -> None:
        target: object = document
        for step in path[:-1]:
            target = target[step]  # type: ignore[index]
        del target[path[-1]]  # type: ignore[attr-defined]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without(["machine", "cores"]), r"lacks 'machine\.cores'; measure again"),
        (_without(["variants", 1, "rounds"]), r"lacks 'variants\[1\]\.rounds'"),
        (lambda d: d.update(schema=SCHEMA + 1), "upgrade it with"),
        (lambda d: d.update(schema="1"), "has schema '1'"),
        (lambda d: d["variants"][0].update(size_bytes="9"), r"variants\[0\]\.size_bytes"),
        (lambda d: d["variants"][2]["answers"].pop(), "was not measured as often"),
        (lambda d: d["variants"][2]["rounds"].pop(), "was not measured as often"),
        (lambda d: d["labels"].__setitem__(0, 10), "labels outside 0 to 9"),
        (lambda d: d.update(variants=[]), "at least one model"),
        (lambda d: d["variants"][0]["rounds"][0].update(calls_us=[]), "a round without times"),
    ],
)
def test_a_damaged_result_is_named(
    result: Result, change: Callable[[dict[str, object]], None], message: str
) -> None:
    """What is missing or wrong is named in one line."""
    document = json.loads(result.to_json())
    change(document)
    with pytest.raises(DataError, match=message) as caught:
        Result.from_json(json.dumps(document))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    """Text that is no JSON object is refused."""
    with pytest.raises(DataError, match="the benchmark result is no JSON"):
        Result.from_json(text)


def test_a_later_minor_addition_is_passed_over(result: Result) -> None:
    """Keys that this version does not know are no error."""
    document = {**json.loads(result.to_json()), "weather": "fine"}
    assert Result.from_json(json.dumps(document)) == result


def test_reference_and_baselines(result: Result) -> None:
    """Answers are compared with Keras, times with the float file of the same format."""
    keras, tflite, onnx, tflite8, onnx8 = result.variants
    assert result.reference == keras
    assert result.baseline(tflite8) == tflite
    assert result.baseline(onnx8) == onnx
    assert result.baseline(keras) is None
    only = dataclasses.replace(result, variants=(tflite8, onnx))
    assert only.reference == onnx
    assert only.baseline(tflite8) is None
