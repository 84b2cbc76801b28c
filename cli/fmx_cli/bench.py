"""``fmx bench``."""

from __future__ import annotations

import dataclasses
import functools
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_benchmarks.measure.session import with_macs
from fmx_cli.export import EXPORTS
from fmx_cli.terminal import note, out, steps
from fmx_export.pipeline.manifest import MANIFEST, Manifest
from fmx_export.pipeline.publish import finish_publishing
from fmx_runtime.errors import DataError, FmxError
from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import make_folder
from fmx_training.data import fashion_mnist, saved_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fmx_benchmarks.measure.device import Device
    from fmx_benchmarks.measure.session import Plan
    from fmx_runtime.bench.journal import Journal
    from fmx_runtime.bench.result import Result
    from fmx_runtime.labeled_images import LabeledImages

__all__ = ["Wanted", "bench_files"]

_REPORTS = Path("reports")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for beside the models.

    Attributes:
        images: labeled images, see `fmx_runtime.labeled_images.read`; None for the test images
            of the run that the models were exported from.
        devices: where to measure too, as ``ssh://user@host``.
        peers: whether others' tools take part.
        rounds: see `fmx_runtime.bench.result.Settings`.
        calls: likewise.
        resume: whether an interrupted benchmark is finished.
    """

    images: Path | None = None
    devices: tuple[str, ...] = ()
    peers: bool = False
    rounds: int = 20
    calls: int = 500
    resume: bool = False


def bench_files(
    paths: Sequence[Path],
    output: Path | None,
    data_dir: Path | None,
    wanted: Wanted | None = None,
) -> Path:
    """Measure model files and write the reports; after each machine, so that none waits in vain.

    Args:
        paths: model files and export folders; none means the newest export folder.
        output: folder of the reports.
        data_dir: see `fashion_mnist.find`.
        wanted: what is asked for besides.

    Returns:
        The HTML report.

    Raises:
        FmxError: nothing could be measured; or some models or devices could not, after the
            reports on the others are written.
    """
    from fmx_benchmarks.measure import session
    from fmx_benchmarks.measure.device import Device
    from fmx_benchmarks.report import report, table

    wanted = wanted or Wanted()
    devices = [Device.parse(text) for text in wanted.devices]
    files, keras_model = _expand(list(paths) or [_newest_export()])
    images = _images(wanted.images, data_dir, keras_model)
    plan = session.plan(
        files, images, keras_model=keras_model, rounds=wanted.rounds, calls=wanted.calls
    )
    folder = make_folder(output or _REPORTS / files[0].name.split(".")[0])
    try:
        with steps() as progress:
            result, journal = session.measure(plan, folder, resume=wanted.resume, progress=progress)
            work = _Work(plan, folder, journal, progress)
            result, written = work.finish(result, devices, peers=wanted.peers)
    except KeyboardInterrupt:
        note(
            f"interrupted; what was measured is in '{folder / session.PART}': the same command with "
            "--resume goes on"
        )
        sys.exit(130)
    out.print(table.build(result))
    for path in written:
        out.print(str(path), markup=False)
    _complain(result)
    return folder / report.HTML_NAME


@dataclass(frozen=True)
class _Work:
    """A benchmark in progress, once this machine is measured."""

    plan: Plan
    folder: Path
    journal: Journal
    progress: Callable[[str], None]

    def finish(
        self, result: Result, devices: Sequence[Device], *, peers: bool
    ) -> tuple[Result, tuple[Path, ...]]:
        """Add the others' tools and the devices, and write the reports: the result, and those."""
        finished = False
        try:
            here = with_macs(result.runs[0], self._macs)
            if peers:
                here = dataclasses.replace(here, peers=self._peers())
            result = dataclasses.replace(result, runs=(here,))
            written = self._write(result)
            for device in devices:
                result = self._with_device(result, device)
                written = self._write(result)
            finished = True
        finally:
            self.journal.close(finished=finished)
        return result, written

    def _write(self, result: Result) -> tuple[Path, ...]:
        from fmx_benchmarks.report import report

        return report.write_all(result, self._images, self.folder)

    @functools.cached_property
    def _images(self) -> NDArray[np.uint8]:
        """The images as the first model sees them: uint8 ``(n, height, width, channels)``."""
        return self.plan.labeled.pixels(self.plan.models[0].metadata.input)

    @functools.cached_property
    def _macs(self) -> dict[str, int | None]:
        """Each file's multiply-accumulates, as far as they can be counted, by its SHA-256."""
        from fmx_export.pipeline.inspect import inspect_file

        macs: dict[str, int | None] = {}
        for model in reversed(self.plan.models):
            if model.format != "keras":
                totals = inspect_file(model.path).graph.totals
                macs[model.sha256] = totals.multiply_accumulates
            else:  # the last one: its files have been counted by then, and do the same
                macs[model.sha256] = next(iter(macs.values()), None)
        return macs

    def _peers(self) -> tuple[Any, ...]:
        from fmx_benchmarks.measure.reference_tools import measure_reference_tools
        from fmx_runtime.bench.result import ReferenceToolTiming

        def work() -> list[dict[str, Any]]:
            with tempfile.TemporaryDirectory(prefix="fmx-peers-") as name:
                images = Path(name, "images.npy")
                np.save(images, self._images)
                figures = measure_reference_tools(
                    self.plan.files,
                    images,
                    rounds=self.plan.settings.rounds,
                    core=self.plan.settings.core,
                    progress=self.progress,
                )
            return [dataclasses.asdict(figure) for figure in figures]

        done = self.journal.once("peers", work)
        return tuple(json_codec.decode(ReferenceToolTiming, figure) for figure in done)

    def _with_device(self, result: Result, device: Device) -> Result:
        """The result with the device's run; or with what failed there, in this machine's run."""
        from fmx_benchmarks.measure import device as devices
        from fmx_runtime.bench.result import Failure
        from fmx_runtime.bench.result import Run as RunRecord
        from fmx_runtime.labeled_images import save

        def work() -> dict[str, Any]:
            with tempfile.TemporaryDirectory(prefix="fmx-device-") as name:
                images = Path(name, "images.npz")
                save(self._as_arrays(), images)
                measured = devices.measure(
                    device,
                    self.plan.files,
                    images,
                    rounds=self.plan.settings.rounds,
                    calls=self.plan.settings.calls,
                    progress=self.progress,
                )
            return dataclasses.asdict(measured.runs[0])

        try:
            run = json_codec.decode(RunRecord, self.journal.once(f"device {device}", work))
        except FmxError as error:
            failure = Failure(name=str(device), reason=str(error))
            here = result.runs[0]
            here = dataclasses.replace(here, failures=(*here.failures, failure))
            return dataclasses.replace(result, runs=(here, *result.runs[1:]))
        return dataclasses.replace(result, runs=(*result.runs, with_macs(run, self._macs)))

    def _as_arrays(self) -> LabeledImages:
        """The images as an array, which can be sent to a device."""
        labeled = self.plan.labeled
        return dataclasses.replace(labeled, images=self._images, class_names=self.plan.class_names)


def _images(images: Path | None, data_dir: Path | None, keras_model: Path | None) -> LabeledImages:
    """The images that are named, or else the test images of the models' run."""
    from fmx_runtime.labeled_images import LabeledImages, read

    if images is not None:
        return read(images)
    own = saved_images.splits(keras_model.parent) if keras_model else None
    test = (own or fashion_mnist.load(data_dir)).test
    return LabeledImages(test.name, test.images, test.labels, test.class_names)


def _complain(result: Result) -> None:
    """End with an error if something was asked for that is not in the reports.

    Raises:
        DataError: a model or a device failed.
    """
    failures = [failure for run in result.runs for failure in run.failures]
    for failure in failures:
        note(f"'{failure.name}' was not measured: {failure.reason}")
    if failures:
        names = ", ".join(f"'{failure.name}'" for failure in failures)
        raise DataError(f"not everything could be measured, the reports say why: {names}")


def _newest_export() -> Path:
    found = sorted(EXPORTS.glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DataError(
            f"no exported model in '{EXPORTS}'; 'fmx export --int8' makes one, or name the files"
        )
    return found[-1].parent


def _expand(paths: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """The model files that are meant, and the Keras model that they were exported from."""
    files: list[Path] = []
    keras_model = None
    for path in paths:
        if not path.exists():
            raise DataError(f"'{path}' does not exist; give model files or export folders")
        if path.is_file():
            files.append(path)
            continue
        finish_publishing(path)
        manifest = Manifest.read(path)
        files += [path / file.file for file in manifest.files]
        source = path / manifest.keras_model
        if source.exists():
            keras_model = keras_model or source
        else:
            note(f"the Keras model '{source}' is gone: its row is left out")
    if not files:
        raise DataError(f"'{paths[0]}' lists no model file: export again")
    return files, keras_model
