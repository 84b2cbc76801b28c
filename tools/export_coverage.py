"""Which networks of keras.applications can be exported, and what becomes of them, as a table.

    python tools/export_coverage.py [--only FAMILY]

Each family is made, trained for a minute, exported and read back in a process of its own, with a
time limit: one that crashes or hangs does not end the others. Results are kept in
``build/export-coverage``, and taken from there while versions and commit are the same, so a run
that was interrupted goes on where it was. The table goes to ``docs/export-coverage.md``.
"""
# ruff: noqa: INP001, T201 (a script that prints, no package)

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_export.pipeline import provenance
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_runtime.bench import machine
from fmx_runtime.errors import FmxError
from fmx_runtime.images.preprocess import to_pixels, to_tensor
from fmx_runtime.model_file.metadata import InputSpec, Provenance
from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import make_folder, write
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.data import fashion_mnist
from fmx_training.data.dataset import Dataset
from fmx_training.networks.backbones import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_export.pipeline.manifest import Manifest
    from fmx_export.source.source_model import SourceModel

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "export-coverage"
DOCUMENT = ROOT / "docs" / "export-coverage.md"

SEED = 0
SIDE = 96
"""Height and width of the images; the smallest that all families take well."""
TRAIN, CALIBRATION, HELD_OUT, STATISTICS = 1000, 100, 500, 128
"""Numbers of images."""
EPOCHS, BATCH, LEARNING_RATE = 4, 32, 1e-3
TIME_LIMIT_S = 30 * 60

FILES = (Format.TFLITE_FLOAT32, Format.TFLITE_INT8, Format.ONNX_FLOAT32, Format.ONNX_INT8)
"""In the order of the table."""


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What became of one file; either it was refused, or the other three are known."""

    refused: str | None = None
    """Why there is no such file, in one line."""
    size_bytes: int | None = None
    agreement: float | None = None
    """Fraction of the held-out images to which it gives the same label as the Keras model."""
    float_operators: dict[str, int] = dataclasses.field(default_factory=dict)
    """Type -> how many compute with floating-point numbers."""


@dataclass(frozen=True, kw_only=True)
class FamilyResult:
    """What became of one family."""

    family: str
    commit: str
    versions: dict[str, str]
    parameters: int | None = None
    accuracy: float | None = None
    """Of the Keras model, on the held-out images, as a fraction."""
    files: dict[str, FileResult] = dataclasses.field(default_factory=dict)
    """By the names of their formats."""
    failed: str | None = None
    """Why there are no files, in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring the results up to date, and write the table."""
    parser = argparse.ArgumentParser(description="Export the networks of keras.applications.")
    parser.add_argument("--only", choices=FAMILIES, help="do this one anew, and no other")
    only = parser.parse_args(arguments).only
    try:
        make_folder(CACHE)
        make_folder(DOCUMENT.parent)
        for family in [only] if only else FAMILIES:
            if only or not _is_current(_read(family)):
                print(f"{family} …", flush=True)
                result = _in_own_process(family)
                write(_cached(family), json_codec.encode(result, indent=2) + "\n")
        results = [result for result in map(_read, FAMILIES) if result is not None]
        write(DOCUMENT, _document(results))
    except FmxError as error:
        print(f"export-coverage: {error}", file=sys.stderr)
        return 1
    print(f"{DOCUMENT.relative_to(ROOT)} tells of {len(results)} of {len(FAMILIES)} families")
    return 0


def _cached(family: str) -> Path:
    return CACHE / f"{family}.json"


def _read(family: str) -> FamilyResult | None:
    """The result that is kept, None where there is none of this form."""
    try:
        return json_codec.decode(FamilyResult, json.loads(_cached(family).read_text("utf-8")))
    except (OSError, ValueError):
        return None


def _is_current(result: FamilyResult | None) -> bool:
    return result is not None and (result.commit, result.versions) == (
        provenance.commit(),
        provenance.versions(),
    )


# --- one family ---


def _in_own_process(family: str) -> FamilyResult:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
        answer = Path(folder, "result.json")
        process = context.Process(target=_examine, args=(family, answer))
        process.start()
        process.join(TIME_LIMIT_S)
        if process.is_alive():
            process.kill()
            process.join()
            return _nothing(family, f"not done after {TIME_LIMIT_S // 60} minutes")
        if not answer.exists():
            return _nothing(family, f"its process ended with exit code {process.exitcode}")
        return json_codec.decode(FamilyResult, json.loads(answer.read_text("utf-8")))


def _nothing(family: str, why: str) -> FamilyResult:
    return FamilyResult(
        family=family, commit=provenance.commit(), versions=provenance.versions(), failed=why
    )


def _examine(family: str, answer: Path) -> None:
    """Do everything with one family, and write its result."""
    with filter_native_stderr():
        write(answer, json_codec.encode(_result(family)))


def _result(family: str) -> FamilyResult:
    scale, offset = FAMILIES[family]
    spec = InputSpec(
        height=SIDE,
        width=SIDE,
        channels=3,
        scale=scale,
        offset=offset,
        resize="stretch",
        polarity="any",
    )
    splits = fashion_mnist.load()
    train = _enlarged(splits.train.balanced_sample(TRAIN, SEED), spec)
    held_out = _enlarged(splits.validation.balanced_sample(HELD_OUT, SEED), spec)
    model = _trained(family, train, spec)
    source = _source(family, model, train, spec)
    return FamilyResult(
        family=family,
        commit=provenance.commit(),
        versions=provenance.versions(),
        parameters=model.count_params(),
        accuracy=_accuracy(model, held_out, spec),
        files={form.value: _file_result(source, form, train, held_out) for form in FILES},
    )


def _enlarged(images: Dataset, spec: InputSpec) -> Dataset:
    """The images at the network's size, gray as RGB."""
    pixels = np.stack([to_pixels(image, spec) for image in images.images])
    return Dataset(images.name, pixels, images.labels, images.class_names)


def _trained(family: str, train: Dataset, spec: InputSpec) -> Any:
    """The network, as far trained as it takes for its answers to say something.

    With random weights, deep networks blow rounding up until the answers are noise, and any
    quantization of them looks useless.
    """
    import keras

    keras.utils.set_random_seed(SEED)
    model = getattr(keras.applications, family)(
        weights=None, classes=len(train.class_names), input_shape=spec.shape
    )
    model.compile(keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")
    tensors = to_tensor(train.images, spec)
    model.fit(tensors, train.labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    _set_statistics(model, tensors[:STATISTICS])
    return model


def _set_statistics(model: Any, tensors: Any) -> None:
    """Give batch norm the images' own statistics: its moving averages take long to get there."""
    import keras

    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    for layer in norms:
        layer.momentum = 0.0
    model(tensors, training=True)


def _accuracy(model: Any, images: Dataset, spec: InputSpec) -> float:
    answers = model.predict(to_tensor(images.images, spec), batch_size=BATCH, verbose=0)
    return float(np.mean(answers.argmax(axis=1) == images.labels))


def _source(family: str, model: Any, train: Dataset, spec: InputSpec) -> SourceModel:
    from fmx_export.source.source_model import SourceModel

    return SourceModel(
        model=model,
        path=Path(f"{family}.keras"),
        name=family,
        labels=train.class_names,
        spec=spec,
        provenance=Provenance(
            recipe="export-coverage",
            seed=SEED,
            data=train.name,
            data_digest=train.digest(),
            keras_digest=provenance.weights_digest(model),
            commit=provenance.commit(),
            versions=provenance.versions(),
        ),
    )


def _file_result(source: SourceModel, form: Format, train: Dataset, held_out: Dataset) -> FileResult:
    from fmx_export.pipeline.read_graph import read_graph

    with tempfile.TemporaryDirectory(prefix="fmx-") as name:
        folder = Path(name)
        try:
            manifest = _export(source, form, train, held_out, folder)
            if manifest.rejected:
                return FileResult(refused=manifest.rejected[0].reason)
            file = manifest.files[0]
            graph = read_graph((folder / file.file).read_bytes())
        except FmxError as error:
            return FileResult(refused=str(error))
    kinds = Counter(operator.type for operator in graph.operators if operator.is_float)
    return FileResult(
        size_bytes=file.size_bytes,
        agreement=file.accuracy.agreement,
        float_operators=dict(sorted(kinds.items())),
    )


def _export(
    source: SourceModel, form: Format, train: Dataset, held_out: Dataset, folder: Path
) -> Manifest:
    """The one call of what is examined here."""
    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.pipeline import export

    return export.export(
        source,
        formats=(form,),
        calibration=CalibrationSet(train.images[:CALIBRATION], train.name, SEED),
        validation=held_out,
        folder=folder,
        progress=lambda _: None,
        # the accuracy of networks that are hardly trained is no reason to refuse a file
        max_accuracy_drop=1.0,
    )


# --- the document ---


def _document(results: Sequence[FamilyResult]) -> str:
    here = machine.describe()
    makers = "; or ".join(dict.fromkeys(map(_maker, results)))
    rows = "\n".join(_row(result) for result in results)
    return f"""# Export coverage: keras.applications

`make export-coverage` wrote this page: it makes each network, exports it to all four files with
the same call as `fmx export`, reads the files back and asks them. To do one of them anew:
`make export-coverage FAMILY={results[-1].family}`.

- **Versions**: {makers}.
- **Machine**: {here.processor}, {here.cores} cores, {here.system}, {here.python}.
- **Networks**: input {SIDE}x{SIDE} RGB, ten classes, weights fresh and not downloaded
  (`weights=None`, seed {SEED}), then {EPOCHS} epochs on {TRAIN:,} images (Adam,
  {LEARNING_RATE:g}, batches of {BATCH}), and batch norm's statistics from {STATISTICS} of them.
  That is far from trained: it only makes the answers to two images differ. With random weights
  alone, these networks blow up any rounding until their answers are noise.
- **Images**: Fashion-MNIST, enlarged to {SIDE}x{SIDE}, gray as RGB, balanced samples; the first
  {CALIBRATION} of the training images calibrate.
- **Agreement**: on what fraction of {HELD_OUT} validation images the file, in its real runtime,
  gives the same label as the Keras model. The accuracy gate is switched off: no file is refused,
  and no layer kept in float, for what it loses.
- **Float operators left**: those of the int8 files that compute with floating-point numbers. In
  ONNX the softmax stays in float on purpose.
- A file that is refused has a hyphen, and its reason in the note.

| family | parameters | Keras accuracy | float32 TFLite KB | int8 TFLite KB, agreement \
| float32 ONNX KB | int8 ONNX KB, agreement | float operators left | note |
|---|--:|--:|--:|--:|--:|--:|---|---|
{rows}
"""


def _maker(result: FamilyResult) -> str:
    """What a result was made with; those that were done anew may have another one."""
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return f"{versions}, commit {result.commit[:12]}"


def _row(result: FamilyResult) -> str:
    cells = [
        result.family,
        "-" if result.parameters is None else f"{result.parameters:,}",
        "-" if result.accuracy is None else f"{result.accuracy:.1%}",
        *(_cell(result.files.get(form.value), form) for form in FILES),
        _float_operators(result),
        result.failed or _refusals(result),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(file: FileResult | None, form: Format) -> str:
    if file is None or file.size_bytes is None or file.agreement is None:
        return "-"
    size = f"{file.size_bytes / 1000:,.0f}"
    return size if form in FLOAT32 else f"{size}, {file.agreement:.1%}"


def _float_operators(result: FamilyResult) -> str:
    """Of the int8 files there are."""
    lists = []
    for form in INT8:
        file = result.files.get(form.value)
        if file is not None and file.refused is None:
            kinds = (f"{count} {kind}" for kind, count in file.float_operators.items())
            lists.append(f"{form.model_format}: {', '.join(kinds) or 'none'}")
    return "; ".join(lists) or "-"


def _refusals(result: FamilyResult) -> str:
    """Each reason once: files of one network are often refused for the same."""
    reasons = dict.fromkeys(file.refused for file in result.files.values() if file.refused)
    return "; ".join(reasons)


if __name__ == "__main__":
    sys.exit(main())
