"""Export the networks of keras.applications, and write docs/export-coverage.md.

    python tools/export_coverage.py [--only FAMILY]

Each network is built, trained briefly, exported and verified in a process of its own with a time
limit, so a crash or a hang does not end the others. Results are saved in build/export-coverage and
reused while versions and commit are the same, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from export_family import (
    BATCH_SIZE,
    FILES,
    LEARNING_RATE,
    SEED,
    FamilyResult,
    FileResult,
    Settings,
    export_family,
)

from fmx_export.pipeline import provenance
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_runtime.bench import machine
from fmx_runtime.errors import FmxError
from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import make_folder, write
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.networks.backbones import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE = Path("build/export-coverage")
DOCUMENT = Path("docs/export-coverage.md")
TIME_LIMIT_S = 30 * 60


def main() -> int:
    """Run the tool and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=BACKBONES, help="export this family again, no other")
    for field in dataclasses.fields(Settings):
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=field.default, metavar="N")
    options = vars(parser.parse_args())
    only = options.pop("only")
    settings = Settings(**options)
    try:
        make_folder(CACHE)
        make_folder(DOCUMENT.parent)
        for family in [only] if only else BACKBONES:
            if only or not _is_current(_load(family)):
                print(f"{family} …", flush=True)
                result = _in_own_process(family, settings)
                write(_cache_file(family), json_codec.encode(result, indent=2) + "\n")
        results = [result for result in map(_load, BACKBONES) if result is not None]
        write(DOCUMENT, document(results, settings))
    except FmxError as error:
        print(f"export-coverage: {error}", file=sys.stderr)
        return 1
    print(f"wrote {DOCUMENT} with {len(results)} of {len(BACKBONES)} families")
    return 0


def _cache_file(family: str) -> Path:
    return CACHE / f"{family}.json"


def _load(family: str) -> FamilyResult | None:
    """Return the saved result; None if there is none, or it has an older form."""
    try:
        return json_codec.decode(FamilyResult, json.loads(_cache_file(family).read_text("utf-8")))
    except (OSError, ValueError):
        return None


def _is_current(result: FamilyResult | None) -> bool:
    return result is not None and (result.commit, result.versions) == (
        provenance.commit(),
        provenance.versions(),
    )


def _in_own_process(family: str, settings: Settings) -> FamilyResult:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
        output = Path(folder, "result.json")
        process = context.Process(target=_write_result, args=(family, settings, output))
        process.start()
        process.join(TIME_LIMIT_S)
        if process.is_alive():
            process.kill()
            process.join()
            return _failure(family, f"not finished after {TIME_LIMIT_S // 60} minutes")
        if not output.exists():
            return _failure(family, f"its process ended with exit code {process.exitcode}")
        return json_codec.decode(FamilyResult, json.loads(output.read_text("utf-8")))


def _failure(family: str, cause: str) -> FamilyResult:
    return FamilyResult(
        family=family, commit=provenance.commit(), versions=provenance.versions(), failed=cause
    )


def _write_result(family: str, settings: Settings, output: Path) -> None:
    """Export one family and write its result; runs in a process of its own."""
    with filter_native_stderr():
        write(output, json_codec.encode(export_family(family, settings)))


def document(results: Sequence[FamilyResult], settings: Settings) -> str:
    """Return the page."""
    here = machine.describe()
    return TEMPLATE.format(
        example=results[-1].family,
        versions="; or ".join(dict.fromkeys(map(_versions, results))),
        here=here,
        settings=settings,
        seed=SEED,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        rows="\n".join(_row(result) for result in results),
    )


TEMPLATE = """# Export coverage: keras.applications

Written by `make export-coverage`. It builds each network, exports it to all four files with the
function that `fmx export` calls, reads the files back and verifies their predictions. To repeat one
of them: `make export-coverage FAMILY={example}`.

- **Versions**: {versions}.
- **Machine**: {here.processor}, {here.cores} cores, {here.system}, {here.python}.
- **Networks**: input {settings.image_size}x{settings.image_size} RGB, ten classes, random weights
  (`weights=None`, seed {seed}), then {settings.epochs} epochs on {settings.train:,} images (Adam,
  {learning_rate:g}, batches of {batch_size}), and statistics of batch normalization from
  {settings.statistics} of them. That is far from trained, but the predictions depend on the image.
  With random weights alone, these networks amplify rounding errors until the predictions are noise.
- **Images**: balanced samples of Fashion-MNIST, enlarged to \
{settings.image_size}x{settings.image_size}, gray as RGB. The first
  {settings.calibration} training images calibrate.
- **Agreement**: the fraction of {settings.validation} validation images for which the file, in its
  real runtime, predicts the same label as the Keras model. The accuracy control is off: no file is
  rejected and no layer is excluded from quantization because of its accuracy.
- **Float operators**: the operators of the int8 files that compute with floating-point numbers. In
  ONNX the softmax is float on purpose.
- A rejected file has a hyphen, and the reason in the note.

| family | parameters | Keras accuracy | float32 TFLite KB | int8 TFLite KB, agreement \
| float32 ONNX KB | int8 ONNX KB, agreement | float operators | note |
|---|--:|--:|--:|--:|--:|--:|---|---|
{rows}
"""


def _versions(result: FamilyResult) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return f"{versions}, commit {result.commit[:12]}"


def _row(result: FamilyResult) -> str:
    cells = [
        result.family,
        "-" if result.parameters is None else f"{result.parameters:,}",
        "-" if result.accuracy is None else f"{result.accuracy:.1%}",
        *(_cell(result.files.get(form.value), form) for form in FILES),
        _float_operators(result),
        result.failed or _rejections(result),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(file: FileResult | None, form: Format) -> str:
    if file is None or file.size_bytes is None or file.agreement is None:
        return "-"
    size = f"{file.size_bytes / 1000:,.0f}"
    return size if form in FLOAT32 else f"{size}, {file.agreement:.1%}"


def _float_operators(result: FamilyResult) -> str:
    """Return the float operators of the int8 files."""
    lists = []
    for form in INT8:
        file = result.files.get(form.value)
        if file is not None and file.rejected is None:
            kinds = (f"{count} {kind}" for kind, count in file.float_operators.items())
            lists.append(f"{form.model_format}: {', '.join(kinds) or 'none'}")
    return "; ".join(lists) or "-"


def _rejections(result: FamilyResult) -> str:
    """Return each reason once: files of one network often have the same."""
    reasons = dict.fromkeys(file.rejected for file in result.files.values() if file.rejected)
    return "; ".join(reasons)


if __name__ == "__main__":
    sys.exit(main())
