"""Others' tools beside ours: the same files, the same work, in the same rounds."""

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

_MOST_ROUNDS = 7


@dataclass(frozen=True, kw_only=True)
class ReferenceTool:
    """Another tool, and what ours is that does the same work.

    Attributes:
        name: of the tool.
        module: that has to be installed.
        package: that it belongs to.
        form: of the files that it runs; None for both.
        theirs: one of `fmx_benchmarks.measure.reference_tool_worker`.
        ours: likewise.
        overhead: likewise, what is subtracted from theirs; None for nothing.
        statistic: that both give.
        what: is timed.
    """

    name: str
    module: str
    package: str
    form: Literal["tflite", "onnx"] | None
    theirs: str
    ours: str
    overhead: str | None
    statistic: Literal["mean", "p50"]
    what: str


_LITERT = ReferenceTool(
    name="litert-benchmark",
    module="ai_edge_litert.tools.benchmark_litert_model",
    package="ai-edge-litert",
    form="tflite",
    theirs="litert-benchmark",
    ours="compiled",
    overhead=None,
    statistic="mean",
    what="CompiledModel.run",
)
REFERENCE_TOOLS = (
    _LITERT,
    dataclasses.replace(_LITERT, ours="network", what="the network alone"),
    ReferenceTool(
        name="onnxruntime alone",
        module="onnxruntime",
        package="onnxruntime",
        form="onnx",
        theirs="onnxruntime",
        ours="answer",
        overhead=None,
        statistic="p50",
        what="one image",
    ),
    ReferenceTool(
        name="LoadGen",
        module="mlperf_loadgen",
        package="mlcommons-loadgen",
        form=None,
        theirs="loadgen",
        ours="answer",
        overhead="loadgen-alone",
        statistic="p50",
        what="SingleStream, net",
    ),
)


def measure_reference_tools(
    files: Sequence[Path],
    images: Path,
    *,
    rounds: int,
    core: int | None,
    progress: Callable[[str], None],
) -> tuple[ReferenceToolTiming, ...]:
    """Measure with each tool that is installed; one that fails is left out, and said to be.

    Args:
        files: model files.
        images: ``.npy`` of uint8 ``(n, height, width, channels)``.
        rounds: in each of them, theirs and ours are measured once; seven at most.
        core: the processor core to stay on.
        progress: called with a line for each step.

    Returns:
        A figure for each tool and file.
    """
    figures = []
    for peer in REFERENCE_TOOLS:
        if not _is_installed(peer.module):
            progress(f"{peer.name} is left out: 'pip install {peer.package}'")
            continue
        for path in files:
            if peer.form not in {None, detect_format(read_model(path))}:
                continue
            progress(f"{peer.name}: {path.name}")
            try:
                figures.append(_figure(peer, path, images, min(rounds, _MOST_ROUNDS), core))
            except BackendError as error:
                progress(f"{peer.name} is left out: {error}")
    return tuple(figures)


def _figure(
    peer: ReferenceTool, path: Path, images: Path, rounds: int, core: int | None
) -> ReferenceToolTiming:
    theirs, ours = [], []
    for _ in range(rounds):
        taken = _run(peer.theirs, path, images, core)
        less = 0.0 if peer.overhead is None else _run(peer.overhead, path, images, core)
        theirs.append(round(taken - less, 3))
        ours.append(round(_run(peer.ours, path, images, core), 3))
    return ReferenceToolTiming(
        peer=peer.name,
        version=packages.versions(peer.package).get(peer.package, ""),
        variant=path.name,
        statistic=peer.statistic,
        what=peer.what,
        theirs_us=tuple(theirs),
        ours_us=tuple(ours),
    )


def _run(tool: str, path: Path, images: Path, core: int | None) -> float:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fmx_benchmarks.measure.reference_tool_worker", tool),
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
        said = done.stderr.strip().splitlines()
        raise BackendError(f"{tool} failed: {said[-1] if said else 'no reason given'}") from error


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
