"""``fmx export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table

from fmx_cli.speed import against_float
from fmx_cli.output.terminal import bold, note, out, steps
from fmx_cli.train import RUNS
from fmx_export.common.errors import AccuracyControlError
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_export.pipeline.manifest import MANIFEST
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Provenance
from fmx_runtime.support.atomic import make_folder
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training import run_folder
from fmx_training.data.training_data import reload_training_data

if TYPE_CHECKING:
    from fmx_cli.external_model import External
    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.pipeline.manifest import Attempt, ExportedFile, Manifest
    from fmx_export.source.reference import ValidationImages
    from fmx_export.source.source_model import SourceModel
    from fmx_training.run_folder import Run

__all__ = ["EXPORTS", "Wanted", "export_file", "export_model", "export_run"]

EXPORTS = Path("exports")
"""Where export folders go, and where the newest is looked for."""

_SEED = 0
_CALIBRATION = 500
"""Images that calibrate."""
_TIMED = 40
"""Images that files are timed with."""
_RUNS_KNOW = "a training run knows its labels, its images and its pixels"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be written, whatever the model.

    Attributes:
        formats: of the files.
        calibration_size: how many images calibrate; None for `_CALIBRATION`, or all there are.
        max_accuracy_drop: largest loss of accuracy, in percentage points.
        target: the processor that int8 files are for.
        debug: whether to write what each layer of int8 files loses.
        output: the folder; None is one below `EXPORTS` that is named after the model.
    """

    formats: tuple[Format, ...] = (*FLOAT32, *INT8)
    calibration_size: int | None = None
    max_accuracy_drop: float = 0.5
    target: Literal["auto", "x86-64", "arm64"] = "auto"
    debug: bool = False
    output: Path | None = None


def export_model(
    path: Path | None, wanted: Wanted, *, data_dir: Path | None, external: External
) -> None:
    """Export a run, or any Keras image classifier from a file."""
    if path is not None and not path.exists():
        raise DataError(
            f"'{path}' does not exist; give a run folder or a Keras model file, or nothing for the "
            "newest run"
        )
    if path is not None and path.is_file() and not _is_of_run(path):
        if data_dir:
            raise DataError(
                f"'{path}' is no training run, and --data-dir is for those; "
                "--calibration names images for other models"
            )
        export_file(path, wanted, external=external)
        return
    if given := external.given():
        raise DataError(f"{_RUNS_KNOW}: leave out {given[0]}, or give another model file")
    export_run(path, wanted, data_dir=data_dir)


def export_run(path: Path | None, wanted: Wanted, *, data_dir: Path | None) -> None:
    """Export a run: calibrated on its training images, verified on its validation images."""
    run = _find(path)
    folder = make_folder(wanted.output or EXPORTS / run.info.recipe.name)
    splits = reload_training_data(
        run.folder, run.info.labels, run.info.data_digest, data_dir
    ).splits
    size = wanted.calibration_size or min(_CALIBRATION, len(splits.train))
    sample = splits.train.balanced_sample(size, _SEED)
    note(f"exporting {run.folder}")
    with filter_native_stderr():
        from fmx_export.common.calibration import CalibrationSet

        source = _source(run)
        calibration = CalibrationSet(sample.images, splits.train.name, _SEED)
        manifest = _write(source, calibration, splits.validation, wanted, folder)
        speeds = against_float(manifest.files, folder, splits.validation.images[:_TIMED])
    _report(manifest, folder, speeds)


def export_file(path: Path, wanted: Wanted, *, external: External) -> None:
    """Export a Keras model: calibrated on some of the user's images, verified on the others."""
    calibrated = [form for form in wanted.formats if form.calibrated]
    if calibrated and external.calibration is None:
        raise DataError(
            f"{calibrated[0]} needs --calibration: a folder or an .npz file of images as the "
            "network will see them"
        )
    note(f"exporting {path}")
    with filter_native_stderr():
        from fmx_cli.external_model import prepare
        from fmx_export.common.calibration import CalibrationSet

        source, sample, held_out = prepare(
            path, external, wanted.calibration_size or _CALIBRATION, _SEED
        )
        folder = make_folder(wanted.output or EXPORTS / path.stem)
        calibration = CalibrationSet(sample.images, sample.name, _SEED)
        manifest = _write(source, calibration, held_out, wanted, folder)
        speeds = against_float(manifest.files, folder, held_out.images[:_TIMED])
    _report(manifest, folder, speeds)


def _write(
    source: SourceModel,
    calibration: CalibrationSet,
    held_out: ValidationImages,
    wanted: Wanted,
    folder: Path,
) -> Manifest:
    from fmx_export.pipeline import export

    with steps() as progress:
        return export.export(
            source,
            formats=wanted.formats,
            max_accuracy_drop=wanted.max_accuracy_drop / 100,
            target=None if wanted.target == "auto" else wanted.target,
            debug=wanted.debug,
            calibration=calibration,
            held_out=held_out,
            folder=folder,
            progress=progress,
        )


def _is_of_run(path: Path) -> bool:
    """Whether a file is the model.keras of a training run, which knows more than the file."""
    model = path.parent / "model.keras"
    return (path.parent / "run.json").is_file() and model.exists() and path.samefile(model)


def _find(path: Path | None) -> Run:
    """The run that is meant: the newest, a run folder, or the folder of a model.keras."""
    if path is None:
        return run_folder.newest_run(RUNS, finished=True)
    run = run_folder.open_run(path if path.is_dir() else path.parent)
    if not run.finished:
        raise DataError(
            f"'{run.folder}' is not trained to the end: 'fmx train --resume -o {run.folder}'"
        )
    return run


def _source(run: Run) -> SourceModel:
    from fmx_export.pipeline import provenance
    from fmx_export.source.keras_model import check_model, load_model
    from fmx_export.source.source_model import SourceModel

    if not run.model_path.is_file():
        raise DataError(f"'{run.model_path}' is missing; train again with 'fmx train'")
    model = check_model(load_model(run.model_path), run.model_path)
    info = run.info
    return SourceModel(
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


def _report(manifest: Manifest, folder: Path, speeds: dict[str, float]) -> None:
    """Print what was written.

    Raises:
        AccuracyControlError: something was refused.
    """
    if manifest.files:
        _print(manifest.files, speeds)
    for file in manifest.files:
        if len(file.attempts) > 1:
            tried = _in_words(file.attempts)
            out.print(f"{bold(file.file)} took {len(file.attempts)} tries: {tried}", soft_wrap=True)
        if file.float_operators:
            left = ", ".join(file.float_operators)
            out.print(f"{bold(file.file)} computes in float: {left}", soft_wrap=True)
    out.print(f"{bold(folder)} holds these files and manifest.json", soft_wrap=True)
    for refused in manifest.refused:
        note(f"{refused.file}: {refused.reason}")
        if refused.attempts:
            note(f"tried: {_in_words(refused.attempts)}")
    if manifest.refused:
        names = ", ".join(refused.file for refused in manifest.refused)
        raise AccuracyControlError(
            f"not published: {names}, for the reasons above and in '{folder / MANIFEST}'; "
            "--max-accuracy-drop allows a larger loss, --calibration-size takes more images"
        )


def _print(files: tuple[ExportedFile, ...], speeds: dict[str, float]) -> None:
    first = files[0].accuracy
    keras = "no labels known" if first.keras is None else f"Keras {first.keras:.2%}"
    out.print(f"on {first.size:,} images of {first.data}; {keras}")
    table = Table("file", "KB", "accuracy", "agrees with Keras", "speed here", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for file in files:
        right = "" if file.accuracy.file is None else f"{file.accuracy.file:.2%}"
        size = f"{file.size_bytes / 1000:,.0f}"
        speed = f"{speeds[file.file]:.1f}x" if file.file in speeds else ""
        table.add_row(file.file, size, right, f"{file.accuracy.agreement:.2%}", speed)
    out.print(table)


def _in_words(attempts: tuple[Attempt, ...]) -> str:
    """Each try and what it gave."""
    tries = []
    for attempt in attempts:
        figure = attempt.accuracy.file
        of = "" if figure is not None else " agreement"
        kept = (
            f" and {len(attempt.excluded_layers)} float layers" if attempt.excluded_layers else ""
        )
        share = attempt.accuracy.agreement if figure is None else figure
        tries.append(f"{attempt.calibration}{kept} {share:.2%}{of}")
    return ", ".join(tries)
