"""A result of two machines, with a failure and times of a reference tool."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.bench.result import Failure, ReferenceToolTiming

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result


@pytest.fixture(scope="session")
def two_machines(result: Result) -> Result:
    """The run beside one on a device, where one prediction differs and a file failed."""
    (run,) = result.runs
    other = dataclasses.replace(
        run.variants[3],
        predictions=((run.variants[3].predictions[0] + 1) % 10, *run.variants[3].predictions[1:]),
    )
    there = dataclasses.replace(
        run,
        device="pi5",
        variants=(run.variants[1], other),
        failures=(Failure(name="a.int8.onnx", reason="no interpreter"),),
    )
    timing = ReferenceToolTiming(
        tool="litert-benchmark",
        version="2.3",
        variant="a.int8.tflite",
        statistic="mean",
        what="the network alone",
        tool_us=(10.2, 20.4, 30.6),
        fmx_us=(10, 20, 30),
    )
    return dataclasses.replace(
        result, runs=(dataclasses.replace(run, reference_tools=(timing,)), there)
    )
