"""Export a model, as ``fmx export`` and ``fmx demo`` do: load it and its images, pass them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_benchmarks.measure.quick_speedup import ModelFile, quick_speedups
from fmx_cli.default_folders import EXPORTS, RUNS
from fmx_cli.output.export_results import print_results
from fmx_cli.output.terminal import note, show_steps
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images import read_splits
from fmx_runtime.support.atomic import make_folder
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training import run_folder
from fmx_training.data.training_data import reload_training_data

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.pipeline.manifest import Manifest
    from fmx_export.source.reference_predictions import ValidationImages
    from fmx_export.source.source_model import SourceModel
    from fmx_training.run_folder import Run

__all__ = [
    "ExportOptions",
    "ExternalModelOptions",
    "export_external_model",
    "export_model",
    "export_run",
]

_SEED = 0
_CALIBRATION_SIZE = 500
_TIMED_IMAGES = 40


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options that apply to any model.

    Attributes:
        formats: file formats to write.
        calibration_size: number of calibration images; None for `_CALIBRATION_SIZE`, or all if
            there are fewer.
        max_accuracy_drop: largest loss of accuracy against Keras, in percentage points.
        target: processor that int8 ONNX files are optimized for.
        layer_report: whether to write the quantization error of each layer of int8 files.
        output: export folder; None for a folder in `EXPORTS` named after the model.
    """

    formats: tuple[Format, ...] = (*FLOAT32, *INT8)
    calibration_size: int | None = None
    max_accuracy_drop: float = 0.5
    target: Literal["auto", "x86-64", "arm64"] = "auto"
    layer_report: bool = False
    output: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ExternalModelOptions:
    """What the user states about a Keras model that is not from a training run.

    Attributes:
        labels: text file with the names of its classes.
        calibration: folder or ``.npz`` file of images, see `fmx_runtime.labeled_images`.
        input_range: the range of the input values in training; ``auto`` to infer it.
        allow_code: whether code in the model file may run.
    """

    labels: Path | None
    calibration: Path | None
    input_range: Literal["auto", "0..1", "-1..1", "0..255"]
    allow_code: bool

    def given(self) -> list[str]:
        """Return the options that are not at their default."""
        used = {
            "--labels": self.labels is not None,
            "--calibration": self.calibration is not None,
            "--input-range": self.input_range != "auto",
            "--allow-code": self.allow_code,
        }
        return [option for option, is_used in used.items() if is_used]


def export_model(
    path: Path | None,
    options: ExportOptions,
    *,
    data_dir: Path | None,
    external: ExternalModelOptions,
) -> None:
    """Export a training run, or any Keras image classifier from a file.

    Args:
        path: a run folder or a Keras model file; None for the newest run.
        options: what to write.
        data_dir: folder with Fashion-MNIST's files, for runs.
        external: what the user states about a model that is not a run's.

    Raises:
        DataError: the path does not exist, or an option does not apply to it.
        ExportError: a file cannot be exported, or loses too much accuracy.
    """
    if path is not None and not path.exists():
        raise DataError(
            f"'{path}' does not exist; give a run folder or a Keras model file, or leave it out to "
            "export the newest run"
        )
    if path is not None and path.is_file() and not _is_model_of_run(path):
        if data_dir:
            raise DataError(
                f"--data-dir applies to training runs, and '{path}' is not from one; give images "
                "with --calibration"
            )
        export_external_model(path, options, external=external)
        return
    if given := external.given():
        raise DataError(
            f"{given[0]} does not apply to a training run, which stores its labels, images and "
            "input range; remove the option, or name another model file"
        )
    export_run(path, options, data_dir=data_dir)


def export_run(path: Path | None, options: ExportOptions, *, data_dir: Path | None) -> None:
    """Export a training run, calibrated on its training and verified on its validation images."""
    run = _open_run(path)
    info = run.info
    folder = make_folder(options.output or EXPORTS / info.recipe.name)
    data = reload_training_data(run.folder, info.labels, info.data_digest, data_dir)
    train, validation = data.splits.train, data.splits.validation
    size = options.calibration_size or min(_CALIBRATION_SIZE, len(train))
    sample = train.balanced_sample(size, _SEED)
    note(f"exporting {run.folder}")
    with filter_native_stderr():
        from fmx_export.common.calibration import CalibrationSet
        from fmx_export.pipeline.trained_model import read_trained_model

        source = read_trained_model(
            run.model_path,
            labels=info.labels,
            spec=info.input,
            recipe=info.recipe.name,
            seed=info.seed,
            data=info.data,
            data_digest=info.data_digest,
        )
        calibration = CalibrationSet(sample.images, train.name, _SEED)
        manifest, speeds = _write(source, calibration, validation, options, folder)
    print_results(manifest, folder, speeds)


def export_external_model(
    path: Path, options: ExportOptions, *, external: ExternalModelOptions
) -> None:
    """Export a Keras model file, calibrated on some of the user's images, verified on the rest."""
    calibrated = [each for each in options.formats if each.needs_calibration]
    if calibrated and external.calibration is None:
        raise DataError(
            f"{calibrated[0]} needs --calibration: a folder or an .npz file of images like those "
            "that the network will see"
        )
    note(f"exporting {path}")
    images = None
    if external.calibration is not None:
        images = read_splits(external.calibration, report=note)
    with filter_native_stderr():
        from fmx_export.pipeline.external_model import read_external_model

        model = read_external_model(
            path,
            images,
            images_name=external.calibration.resolve().name if external.calibration else "",
            labels=external.labels,
            input_range=None if external.input_range == "auto" else external.input_range,
            allow_code=external.allow_code,
            calibration_size=options.calibration_size or _CALIBRATION_SIZE,
            seed=_SEED,
            report=note,
        )
        folder = make_folder(options.output or EXPORTS / path.stem)
        manifest, speeds = _write(
            model.source, model.calibration, model.validation, options, folder
        )
    print_results(manifest, folder, speeds)


def _write(
    source: SourceModel,
    calibration: CalibrationSet,
    validation: ValidationImages,
    options: ExportOptions,
    folder: Path,
) -> tuple[Manifest, dict[str, float]]:
    """Write and verify the files.

    Returns:
        The manifest, and the speed of each file relative to the float32 file of its format.
    """
    from fmx_export.pipeline import export

    with show_steps() as progress:
        manifest = export.export(
            source,
            formats=options.formats,
            max_accuracy_drop=options.max_accuracy_drop / 100,
            target=None if options.target == "auto" else options.target,
            layer_report=options.layer_report,
            calibration=calibration,
            validation=validation,
            folder=folder,
            progress=progress,
        )
    files = [ModelFile(folder / file.file, file.format, file.precision) for file in manifest.files]
    return manifest, quick_speedups(files, validation.images[:_TIMED_IMAGES])


def _is_model_of_run(path: Path) -> bool:
    """Return whether a file is the model.keras of a training run."""
    model = path.parent / "model.keras"
    return (path.parent / "run.json").is_file() and model.exists() and path.samefile(model)


def _open_run(path: Path | None) -> Run:
    """Open a finished run by its folder or its model.keras; None means the newest one."""
    if path is None:
        return run_folder.newest_run(RUNS, finished=True)
    run = run_folder.open_run(path if path.is_dir() else path.parent)
    if not run.finished:
        raise DataError(
            f"the training run '{run.folder}' is not finished; resume it with "
            f"'fmx train --resume -o {run.folder}'"
        )
    return run
