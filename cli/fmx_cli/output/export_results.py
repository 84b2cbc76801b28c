"""Print the results of an export, as ``fmx export`` does at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from fmx_cli.output.terminal import bold, note, out
from fmx_export.common.errors import AccuracyControlError
from fmx_export.pipeline.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fmx_export.pipeline.manifest import Attempt, ExportedFile, Manifest

__all__ = ["print_results"]


def print_results(manifest: Manifest, folder: Path, speeds: Mapping[str, float]) -> None:
    """Print which files were written and how they compare with the Keras model.

    Args:
        manifest: the files that were written, and those that were rejected.
        folder: the export folder.
        speeds: file name -> speed relative to the float32 file of the same format.

    Raises:
        AccuracyControlError: a file was rejected.
    """
    if manifest.files:
        _print_table(manifest.files, speeds)
    for file in manifest.files:
        if len(file.attempts) > 1:
            attempts = f"{len(file.attempts)} attempts: {_describe(file.attempts)}"
            out.print(f"{bold(file.file)} needed {attempts}", soft_wrap=True)
        if file.float_operators:
            operators = ", ".join(file.float_operators)
            out.print(f"{bold(file.file)} has float operators: {operators}", soft_wrap=True)
    out.print(f"{bold(folder)} holds these files and {MANIFEST}", soft_wrap=True)
    for rejected in manifest.rejected:
        note(f"{rejected.file}: {rejected.reason}")
        if rejected.attempts:
            note(f"attempts: {_describe(rejected.attempts)}")
    if manifest.rejected:
        names = ", ".join(rejected.file for rejected in manifest.rejected)
        raise AccuracyControlError(
            f"not written: {names}; '{folder / MANIFEST}' has the reasons; --max-accuracy-drop "
            "allows a larger loss, --calibration-size uses more images"
        )


def _print_table(files: tuple[ExportedFile, ...], speeds: Mapping[str, float]) -> None:
    first = files[0].accuracy
    keras = "no labels" if first.keras is None else f"Keras accuracy {first.keras:.2%}"
    out.print(f"verified on {first.size:,} images of {first.data}; {keras}")
    table = Table("file", "KB", "accuracy", "agrees with Keras", "speed here", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for file in files:
        accuracy = "" if file.accuracy.file is None else f"{file.accuracy.file:.2%}"
        size = f"{file.size_bytes / 1000:,.0f}"
        speed = f"{speeds[file.file]:.1f}x" if file.file in speeds else ""
        table.add_row(file.file, size, accuracy, f"{file.accuracy.agreement:.2%}", speed)
    out.print(table)


def _describe(attempts: tuple[Attempt, ...]) -> str:
    """Return the settings of each attempt and its accuracy, or its agreement without labels."""
    descriptions = []
    for attempt in attempts:
        excluded = (
            f" with {len(attempt.excluded_layers)} float layers" if attempt.excluded_layers else ""
        )
        accuracy = attempt.accuracy
        if accuracy.file is None:
            figure = f"{accuracy.agreement:.2%} agreement"
        else:
            figure = f"{accuracy.file:.2%}"
        descriptions.append(f"{attempt.calibration}{excluded} {figure}")
    return ", ".join(descriptions)
