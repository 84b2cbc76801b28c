"""The names of models and machines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fmx_benchmarks.statistics import display_names
from fmx_runtime.bench.result import Failure, Result

REFERENCE = Path(__file__).parents[3] / "benchmarks" / "reference" / "result.json"


@pytest.fixture(scope="module")
def reference() -> Result:
    """The reference result."""
    return Result.from_json(REFERENCE.read_text("utf-8"))


def test_models(reference: Result) -> None:
    """A kind is format and precision; the file's name follows where a run has two of a kind."""
    (run,) = reference.runs
    assert [display_names.model_kind(one) for one in run.variants] == [
        "Keras float32",
        "TFLite float32",
        "ONNX float32",
        "TFLite int8",
        "ONNX int8",
    ]
    twin = dataclasses.replace(run.variants[3], name="other.int8.tflite")
    two = dataclasses.replace(run, variants=(*run.variants, twin))
    assert display_names.model_title(twin, two) == "TFLite int8 other.int8.tflite"
    assert display_names.model_title(run.variants[4], two) == "ONNX int8"


def test_machines(reference: Result) -> None:
    """A machine is called after its board, else its processor; a device has its own name too."""
    (run,) = reference.runs
    assert display_names.machine_name(run) == "AMD EPYC, x86_64"
    machine = dataclasses.replace(run.machine, board="Raspberry Pi 5")
    pi = dataclasses.replace(run, device="pi.local", machine=machine)
    assert display_names.machine_name(pi) == "pi.local (Raspberry Pi 5)"
    assert (display_names.on_device(run), display_names.on_device(pi)) == ("", " on pi.local")


def test_failures(reference: Result) -> None:
    """Each is a sentence with the model, the device if it is not local, and the reason."""
    (run,) = reference.runs
    failed = dataclasses.replace(run, failures=(Failure(name="a.onnx", reason="it is damaged"),))
    pi = dataclasses.replace(failed, device="pi")
    both = dataclasses.replace(reference, runs=(failed, pi))
    assert display_names.describe_failures(both) == (
        "a.onnx: it is damaged",
        "a.onnx on pi: it is damaged",
    )
