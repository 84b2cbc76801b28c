"""Run a whole benchmark: this machine, reference tools, devices, reports.

All of it happens in one session, so that an interruption at any point can be resumed.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_benchmarks.measure.device import measure_on_device
from fmx_benchmarks.measure.reference_tools import measure_reference_tools
from fmx_benchmarks.measure.session import model_files, select_models, with_macs
from fmx_benchmarks.measure.ssh import Device, DeviceError
from fmx_benchmarks.report.files import write_reports
from fmx_runtime.bench.build_result import build_result
from fmx_runtime.bench.result import Failure, ReferenceToolTiming, Run
from fmx_runtime.bench.session import make_settings, open_session
from fmx_runtime.labeled_images import save
from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fmx_runtime.bench.models import Selection
    from fmx_runtime.bench.result import Result
    from fmx_runtime.bench.session import Session
    from fmx_runtime.labeled_images import LabeledImages

__all__ = ["JOURNAL", "BenchOptions", "run_benchmark"]

JOURNAL = "result.json.part"
"""The journal's name in the folder of the reports."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How to benchmark.

    Attributes:
        devices: where to measure too, as ``ssh://user@host``.
        reference_tools: whether to measure with reference tools too.
        repeats: see `fmx_runtime.bench.result.Settings`.
        iterations: see `fmx_runtime.bench.result.Settings`.
        resume: whether to continue an interrupted benchmark.
    """

    devices: tuple[str, ...] = ()
    reference_tools: bool = False
    repeats: int = 20
    iterations: int = 500
    resume: bool = False


def run_benchmark(
    files: Sequence[Path],
    labeled: LabeledImages,
    folder: Path,
    options: BenchOptions,
    *,
    keras_model: Path | None,
    progress: Callable[[str], None],
    count_macs: Callable[[Path], int | None] = lambda _: None,
) -> tuple[Result, tuple[Path, ...]]:
    """Measure models and write the reports; they are written again after each device.

    Args:
        files: model files.
        labeled: the images.
        folder: where the reports and, meanwhile, the journal are written.
        options: how to benchmark.
        keras_model: the ``.keras`` file that the files were exported from; None to leave it out.
        progress: called with a line for each step.
        count_macs: returns a model file's multiply-accumulates, None if they cannot be counted.

    Returns:
        The result and the paths of the reports.

    Raises:
        DataError: An option is wrong, there are no files, or there is nothing to resume.
        ModelFileError: No model could be measured.
        OutputError: The folder cannot be written to.
    """
    devices = [Device.parse(text) for text in options.devices]
    settings = make_settings(repeats=options.repeats, iterations=options.iterations)
    selection = select_models(files, labeled, keras_model=keras_model, report=progress)
    make_folder(folder)
    with open_session(folder / JOURNAL, selection, settings, resume=options.resume) as session:
        benchmark = _Benchmark(session, selection, count_macs, progress)
        result = benchmark.measure_here(reference_tools=options.reference_tools)
        written = write_reports(result, benchmark.images, folder)
        for device in devices:
            result = benchmark.measure_on(device, result)
            written = write_reports(result, benchmark.images, folder)
    return result, written


@dataclass(frozen=True)
class _Benchmark:
    """A benchmark in progress.

    Attributes:
        session: the open session.
        selection: the models and images.
        count_macs: see `run_benchmark`.
        progress: see `run_benchmark`.
    """

    session: Session
    selection: Selection
    count_macs: Callable[[Path], int | None]
    progress: Callable[[str], None]

    @functools.cached_property
    def images(self) -> NDArray[np.uint8]:
        """The images as the first model sees them: uint8 ``(n, height, width, channels)``."""
        return self.selection.labeled.pixels(self.selection.models[0].metadata.input)

    def measure_here(self, *, reference_tools: bool) -> Result:
        """Measure on this machine."""
        macs = self._macs  # counted first: a file may disappear while it is measured
        run = with_macs(self.session.measure(self.progress), macs)
        if reference_tools:
            run = dataclasses.replace(run, reference_tools=self._reference_tools(run))
        return build_result(self.selection.labeled, run)

    def measure_on(self, device: Device, result: Result) -> Result:
        """Return the result with the device's run, or with the reason why there is none."""
        try:
            values = self.session.once(
                f"device {device}",
                lambda: dataclasses.asdict(self._run_on(device, result.runs[0])),
            )
        except DeviceError as error:
            failure = Failure(name=str(device), reason=str(error))
            local = result.runs[0]
            local = dataclasses.replace(local, failures=(*local.failures, failure))
            return dataclasses.replace(result, runs=(local, *result.runs[1:]))
        run = with_macs(json_codec.decode(Run, values), self._macs)
        return dataclasses.replace(result, runs=(*result.runs, run))

    @functools.cached_property
    def _macs(self) -> dict[str, int | None]:
        """Each model's multiply-accumulates by its SHA-256; the Keras model has its files'."""
        files = [model for model in self.selection.models if model.format != "keras"]
        macs = {model.sha256: self.count_macs(model.path) for model in files}
        for model in self.selection.models:
            macs.setdefault(model.sha256, macs[files[-1].sha256])
        return macs

    def _reference_tools(self, run: Run) -> tuple[ReferenceToolTiming, ...]:
        def work() -> list[dict[str, Any]]:
            with tempfile.TemporaryDirectory(prefix="fmx-reference-tools-") as folder:
                images = Path(folder, "images.npy")
                np.save(images, self.images)
                timings = measure_reference_tools(
                    model_files(self.selection),
                    images,
                    repeats=run.settings.repeats,
                    core=run.settings.core,
                    progress=self.progress,
                )
            return [dataclasses.asdict(timing) for timing in timings]

        values = self.session.once("reference tools", work)
        return tuple(json_codec.decode(ReferenceToolTiming, timing) for timing in values)

    def _run_on(self, device: Device, local: Run) -> Run:
        labeled = dataclasses.replace(self.selection.labeled, images=self.images)
        with tempfile.TemporaryDirectory(prefix="fmx-device-") as folder:
            images = Path(folder, "images.npz")
            save(labeled, images)
            result = measure_on_device(
                device,
                model_files(self.selection),
                images,
                repeats=local.settings.repeats,
                iterations=local.settings.iterations,
                progress=self.progress,
            )
        return result.runs[0]
