"""Measure with reference tools beside fmx: the same files and work, in the same repeats."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_runtime.backends.base import detect_format
from fmx_runtime.bench.result import ReferenceToolTiming
from fmx_runtime.errors import BackendError
from fmx_runtime.model_file.container import read_model
from fmx_runtime.support import packages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["REFERENCE_TOOLS", "ReferenceTool", "measure_reference_tools"]

_MAX_REPEATS = 7


@dataclass(frozen=True, kw_only=True)
class ReferenceTool:
    """A reference tool, and fmx's measurement of the same work.

    Attributes:
        name: the tool's name.
        module: the module that has to be installed.
        package: the package that the module belongs to.
        format: of the files that it runs; None for both.
        tool: its measurement, a key of `reference_tool_worker.MEASUREMENTS`.
        fmx: fmx's measurement, likewise.
        overhead: the measurement that is subtracted from the tool's, likewise; None for nothing.
        statistic: the statistic that both measurements give.
        what: the work that is timed.
    """

    name: str
    module: str
    package: str
    format: Literal["tflite", "onnx"] | None
    tool: str
    fmx: str
    overhead: str | None
    statistic: Literal["mean", "p50"]
    what: str


_LITERT = ReferenceTool(
    name="litert-benchmark",
    module="ai_edge_litert.tools.benchmark_litert_model",
    package="ai-edge-litert",
    format="tflite",
    tool="litert-benchmark",
    fmx="compiled-model",
    overhead=None,
    statistic="mean",
    what="CompiledModel.run",
)
REFERENCE_TOOLS = (
    _LITERT,
    dataclasses.replace(_LITERT, fmx="network", what="the network alone"),
    ReferenceTool(
        name="onnxruntime alone",
        module="onnxruntime",
        package="onnxruntime",
        format="onnx",
        tool="onnxruntime",
        fmx="prediction",
        overhead=None,
        statistic="p50",
        what="one image",
    ),
    ReferenceTool(
        name="LoadGen",
        module="mlperf_loadgen",
        package="mlcommons-loadgen",
        format=None,
        tool="loadgen",
        fmx="prediction",
        overhead="loadgen-overhead",
        statistic="p50",
        what="SingleStream, net",
    ),
)


def measure_reference_tools(
    files: Sequence[Path],
    images: Path,
    *,
    repeats: int,
    core: int | None,
    progress: Callable[[str], None],
) -> tuple[ReferenceToolTiming, ...]:
    """Measure with each installed tool; a tool that fails is left out and reported.

    Args:
        files: model files.
        images: an ``.npy`` file of uint8 ``(n, height, width, channels)``.
        repeats: how often the tool and fmx are measured in turn; seven at most.
        core: the processor core to stay on; None for all.
        progress: called with a line for each step.

    Returns:
        A timing for each tool and file.
    """
    timings = []
    for tool in REFERENCE_TOOLS:
        if not _is_installed(tool.module):
            progress(f"{tool.name} is left out: 'pip install {tool.package}'")
            continue
        for path in files:
            if tool.format not in {None, detect_format(read_model(path))}:
                continue
            progress(f"{tool.name}: {path.name}")
            try:
                timings.append(_time(tool, path, images, min(repeats, _MAX_REPEATS), core))
            except BackendError as error:
                progress(f"{tool.name} is left out: {error}")
    return tuple(timings)


def _time(
    tool: ReferenceTool, path: Path, images: Path, repeats: int, core: int | None
) -> ReferenceToolTiming:
    tool_us, fmx_us = [], []
    for _ in range(repeats):
        gross = _run(tool.tool, path, images, core)
        overhead = 0.0 if tool.overhead is None else _run(tool.overhead, path, images, core)
        tool_us.append(round(gross - overhead, 3))
        fmx_us.append(round(_run(tool.fmx, path, images, core), 3))
    return ReferenceToolTiming(
        tool=tool.name,
        version=packages.versions(tool.package).get(tool.package, ""),
        variant=path.name,
        statistic=tool.statistic,
        what=tool.what,
        tool_us=tuple(tool_us),
        fmx_us=tuple(fmx_us),
    )


def _run(measurement: str, path: Path, images: Path, core: int | None) -> float:
    """Return the microseconds that a worker process measures."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fmx_benchmarks.measure.reference_tool_worker", measurement),
            *("-" if core is None else str(core), str(path), str(images)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    try:
        return float(done.stdout)
    except ValueError as error:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else "no reason is given"
        raise BackendError(f"{measurement} failed: {reason}") from error


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
