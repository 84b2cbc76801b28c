"""``fmx export``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fmx_cli.terminal import bold, note, out, steps
from fmx_cli.train import RUNS
from fmx_runtime.atomic import make_folder
from fmx_runtime.card import Precision, Provenance
from fmx_runtime.errors import DataError
from fmx_runtime.quiet import native_stderr_silenced
from fmx_runtime.reason import reason
from fmx_training import fashion_mnist
from fmx_training import run as runs

if TYPE_CHECKING:
    from fmx_export.bundle import Source
    from fmx_export.manifest import Manifest
    from fmx_training.run import Run

__all__ = ["EXPORTS", "export_run"]

EXPORTS = Path("exports")
"""Where export folders go, and where the newest is looked for."""

_CALIBRATION_SIZE = 500
_CALIBRATION_SEED = 0


def export_run(
    path: Path | None, *, int8: bool, output: Path | None, data_dir: Path | None
) -> None:
    """Export a run: calibrated on its training pictures, verified on its validation pictures."""
    run = _find(path)
    folder = make_folder(output or EXPORTS / run.info.recipe.name)
    splits = fashion_mnist.load(data_dir)
    if splits.train.digest() != run.info.data_digest:
        raise DataError(f"'{run.folder}' was trained on other data than {splits.train.name} now")
    precisions: tuple[Precision, ...] = ("float32", "int8") if int8 else ("float32",)
    sample = splits.train.balanced_sample(_CALIBRATION_SIZE, _CALIBRATION_SEED)
    note(f"exporting {run.folder}")
    with native_stderr_silenced(), steps() as progress:
        from fmx_export import bundle

        manifest = bundle.export(
            _source(run),
            precisions=precisions,
            calibration=bundle.Calibration(sample.images, splits.train.name, _CALIBRATION_SEED),
            held_out=splits.validation,
            folder=folder,
            progress=progress,
        )
    _print(manifest, folder)


def _find(path: Path | None) -> Run:
    """The run that is meant: the newest, a run folder, or the folder of a model.keras."""
    if path is None:
        return runs.newest(RUNS, finished=True)
    if not path.exists():
        raise DataError(f"'{path}' does not exist; give a run folder, or nothing for the newest")
    run = runs.open_run(path) if path.is_dir() else _run_around(path)
    if not run.finished:
        raise DataError(
            f"'{run.folder}' is not trained to the end: 'fmx train --resume -o {run.folder}'"
        )
    return run


def _run_around(path: Path) -> Run:
    """The run whose model.keras this is."""
    folder = path.parent
    try:
        run = runs.open_run(folder)
    except DataError as error:
        raise DataError(f"'{path}' is not the model.keras of a training run: {error}") from error
    if not run.model_path.exists() or not path.samefile(run.model_path):
        raise DataError(
            f"'{path}' is not the model of the training run in '{folder}'; "
            f"give the run folder, or its {run.model_path.name}"
        )
    return run


def _load(path: Path) -> Any:
    """The Keras model in a file."""
    import keras

    if not path.is_file():
        raise DataError(f"'{path}' is missing; train again with 'fmx train'")
    if not zipfile.is_zipfile(path):
        raise DataError(f"'{path}' is no Keras model, or was cut short: it is no ZIP archive")
    try:
        return keras.models.load_model(path, compile=False)
    # damaged archives, settings and weights raise BadZipFile, KeyError, TypeError and others
    except Exception as error:
        raise DataError(f"'{path}' is no Keras model that can be read: {reason(error)}") from error


def _source(run: Run) -> Source:
    from fmx_export import provenance
    from fmx_export.bundle import Source

    model = _load(run.model_path)
    info = run.info
    return Source(
        model=model,
        path=run.model_path,
        name=info.recipe.name,
        labels=info.labels,
        spec=info.input,
        provenance=Provenance(
            recipe=info.recipe.name,
            seed=info.seed,
            data=info.data,
            data_digest=info.data_digest,
            keras_digest=provenance.weights_digest(model),
            commit=provenance.commit(),
            versions=provenance.versions(),
        ),
    )


def _print(manifest: Manifest, folder: Path) -> None:
    first = manifest.files[0].accuracy
    out.print(f"on {first.size:,} pictures of {first.data}; Keras {first.keras:.2%}")
    table = Table("file", "KB", "accuracy", "agrees with Keras", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for file in manifest.files:
        accuracy = file.accuracy
        size = f"{file.size_bytes / 1000:,.0f}"
        table.add_row(file.file, size, f"{accuracy.file:.2%}", f"{accuracy.agreement:.2%}")
    out.print(table)
    out.print(f"{bold(folder)} holds these files and manifest.json", soft_wrap=True)
