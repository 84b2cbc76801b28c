"""``fmx bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fmx_cli.export import EXPORTS
from fmx_cli.terminal import note, out, steps
from fmx_export.manifest import MANIFEST, Manifest
from fmx_export.publish import finish_publishing
from fmx_runtime.atomic import make_folder
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import DataError
from fmx_runtime.quiet import native_stderr_silenced
from fmx_training import fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["bench_files"]

_REPORTS = Path("reports")


def bench_files(paths: Sequence[Path], output: Path | None, data_dir: Path | None) -> Path:
    """Measure model files on the test pictures and write the reports.

    Args:
        paths: model files and export folders; none means the newest export folder.
        output: folder of the reports.
        data_dir: see `fashion_mnist.find`.

    Returns:
        The HTML report.
    """
    from fmx_benchmarks import report, suite, table

    chosen = list(paths) or [_newest_export()]
    files, keras_model = _expand(chosen)
    folder = output or _REPORTS / files[0].name.split(".")[0]
    _check(files)
    make_folder(folder)
    test = fashion_mnist.load(data_dir).test
    with steps() as progress:
        result = suite.run(
            files,
            test.images,
            test.labels,
            data=test.name,
            keras_model=keras_model,
            progress=progress,
        )
    out.print(table.build(result))
    for path in report.write_all(result, test.images, folder):
        out.print(str(path), markup=False)
    return folder / report.HTML_NAME


def _check(files: Sequence[Path]) -> None:
    """Open each file once, so that a wrong one is said before anything is measured or written."""
    with native_stderr_silenced():
        for path in files:
            Classifier(path)


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
