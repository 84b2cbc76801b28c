"""Benchmark model files, as ``fmx bench`` and ``fmx demo`` do: find the files and their images."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fmx_benchmarks.benchmark import JOURNAL, BenchOptions, run_benchmark
from fmx_benchmarks.report.files import HTML_NAME
from fmx_benchmarks.report.terminal import terminal_report
from fmx_cli.default_folders import EXPORTS, REPORTS
from fmx_cli.output.terminal import note, out, show_steps
from fmx_export.pipeline.manifest import MANIFEST, Manifest
from fmx_export.pipeline.publish import finish_publishing
from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images import LabeledImages, read
from fmx_training.data import fashion_mnist, saved_images

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmx_runtime.bench.result import Result

__all__ = ["benchmark_files"]


def benchmark_files(
    paths: Sequence[Path],
    options: BenchOptions,
    *,
    images: Path | None = None,
    output: Path | None = None,
    data_dir: Path | None = None,
) -> Path:
    """Benchmark model files, write the reports and print the most important figures.

    Args:
        paths: model files and export folders; if empty, the newest export folder.
        options: how to benchmark.
        images: labeled images, see `fmx_runtime.labeled_images.read`; None for the test images of
            the run that the models were exported from.
        output: the folder of the reports; None for a folder in `REPORTS`.
        data_dir: see `fashion_mnist.find`.

    Returns:
        The HTML report.

    Raises:
        FmxError: Nothing could be measured; or some models or devices could not, after the
            reports on the others are written.
    """
    files, keras_model = _find_models(list(paths) or [_newest_export()])
    labeled = read(images, report=note) if images else _test_images(data_dir, keras_model)
    folder = output or REPORTS / files[0].name.split(".")[0]
    try:
        with show_steps() as progress:
            result, reports = run_benchmark(
                files,
                labeled,
                folder,
                options,
                keras_model=keras_model,
                count_macs=_count_macs,
                progress=progress,
            )
    except KeyboardInterrupt:
        note(
            f"interrupted; what was measured is in '{folder / JOURNAL}': continue with the same "
            "command and --resume"
        )
        sys.exit(130)
    out.print(terminal_report(result))
    for path in reports:
        out.print(str(path), markup=False)
    _raise_failures(result)
    return folder / HTML_NAME


def _newest_export() -> Path:
    manifests = sorted(EXPORTS.glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not manifests:
        raise DataError(
            f"no exported model in '{EXPORTS}'; export one with 'fmx export --int8', or name the "
            "model files"
        )
    return manifests[-1].parent


def _find_models(paths: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """Return the model files, and the Keras model that they were exported from."""
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
            note(f"the Keras model '{source}' does not exist: it is not measured")
    if not files:
        raise DataError(f"'{paths[0]}' lists no model file: export again")
    return files, keras_model


def _test_images(data_dir: Path | None, keras_model: Path | None) -> LabeledImages:
    """Return the test images of the models' training run."""
    own = saved_images.read_splits(keras_model.parent) if keras_model else None
    test = (own or fashion_mnist.load(data_dir)).test
    return LabeledImages(test.name, test.images, test.labels, test.class_names)


def _count_macs(path: Path) -> int | None:
    from fmx_export.pipeline.inspect import inspect_file

    return inspect_file(path).graph.totals.multiply_accumulates


def _raise_failures(result: Result) -> None:
    """Raise an error if something was asked for that is not in the reports."""
    failures = [failure for run in result.runs for failure in run.failures]
    for failure in failures:
        note(f"'{failure.name}' was not measured: {failure.reason}")
    if failures:
        names = ", ".join(f"'{failure.name}'" for failure in failures)
        raise DataError(f"not everything could be measured; the reports say why: {names}")
