"""A whole export: all of it, or nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_export.common.calibration import CalibrationSet, calibration_digest
from fmx_export.pipeline import export as exporter
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_export.pipeline.verify import select_test_vectors
from fmx_export.source.reference import Reference
from fmx_export.tflite.kernels import kernel_difference
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, OutputError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file import test_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fmx_export.pipeline.manifest import Manifest
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

NAMES = [
    "baseline.float32.tflite",
    "baseline.float32.onnx",
    "baseline.int8.tflite",
    "baseline.int8.onnx",
]


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden or not; folders end with a slash."""
    return {
        str(path.relative_to(folder)) + "/" * path.is_dir(): b""
        if path.is_dir()
        else path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.fixture
def export(source: SourceModel, few: Splits, tmp_path: Path) -> Callable[..., Manifest]:
    """Exports the real small model; what is given by name is changed."""

    def export(**changes: Any) -> Manifest:
        options = {
            "formats": (*FLOAT32, *INT8),
            "calibration": CalibrationSet(few.train.images[:100], few.train.name, 0),
            "held_out": few.validation,
            "folder": tmp_path / "made" / "export",
            "progress": lambda _: None,
            **changes,
        }
        return exporter.export(options.pop("source", source), **options)

    return export


@pytest.fixture
def pixels_above_zero(source: SourceModel) -> SourceModel:
    """A network to which no byte means 0, which int8 needs."""
    spec = dataclasses.replace(source.spec, scale=0.5 / 255, offset=0.5)
    return dataclasses.replace(source, spec=spec)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB; skips where this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_manifest_tells_of_each_file(exported: Path, source: SourceModel) -> None:
    """manifest.json names exactly the files that are there, with size, SHA-256 and accuracy."""
    manifest = json.loads((exported / "manifest.json").read_text("utf-8"))
    assert sorted(files(exported)) == sorted([*NAMES, "manifest.json"])
    assert [file["file"] for file in manifest["files"]] == NAMES
    for file in manifest["files"]:
        content = (exported / file["file"]).read_bytes()
        assert file["size_bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["file"] == f"baseline.{file['precision']}.{file['format']}"
        metadata = Classifier(exported / file["file"]).metadata
        assert metadata.accuracy is not None
        assert file["accuracy"] == dataclasses.asdict(metadata.accuracy)
    assert manifest["name"] == "baseline"
    assert manifest["provenance"] == dataclasses.asdict(source.provenance)


def test_the_keras_model_is_found_from_the_manifest(exported: Path, source: SourceModel) -> None:
    """The path in the manifest is relative to it, and leads to the model."""
    stated = json.loads((exported / "manifest.json").read_text("utf-8"))["keras_model"]
    assert not stated.startswith("/")
    assert (exported / stated).samefile(source.path)


def test_also_through_a_link(
    export: Callable[..., Manifest], source: SourceModel, tmp_path: Path
) -> None:
    """Where the folder is a symbolic link to elsewhere, the path leads from there."""
    (tmp_path / "far/away").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "far/away")
    manifest = export(folder=link, formats=FLOAT32)
    assert (link / manifest.keras_model).samefile(source.path)


@pytest.mark.parametrize("name", NAMES)
def test_metadata(name: str, exported: Path, source: SourceModel, few: Splits) -> None:
    """Each file says what it takes, what it means, how it was calibrated, and where it is from."""
    metadata = Classifier(exported / name).metadata
    whole_number = metadata.precision == "int8"
    assert name == f"{metadata.name}.{metadata.precision}.{name.rpartition('.')[2]}"
    assert metadata.input.dtype == ("uint8" if whole_number else "float32")
    assert dataclasses.replace(metadata.input, dtype="float32") == source.spec
    assert (metadata.labels, metadata.output) == (source.labels, "probabilities")
    assert metadata.provenance == source.provenance
    assert (metadata.quantization is not None) == whole_number
    if metadata.quantization is not None:
        assert metadata.quantization.size == 200
        assert metadata.quantization.split == few.train.name
        assert metadata.quantization.digest == calibration_digest(few.train.images[:200])


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_kept(name: str, exported: Path, source: SourceModel, splits: Splits) -> None:
    """On 5,000 images float files agree with Keras, int8 files lose at most 0.3 points."""
    images = splits.validation
    classifier = Classifier(exported / name)
    tensor = to_tensor(images.images, source.spec)
    expected = source.model.predict(tensor, batch_size=500, verbose=0)
    found = classifier.predict(images.images)
    keras_accuracy = np.mean(expected.argmax(axis=1) == images.labels)
    accuracy = np.mean(found.argmax(axis=1) == images.labels)
    assert classifier.metadata.accuracy is not None
    assert classifier.metadata.accuracy.size == len(images) == 5000
    assert classifier.metadata.accuracy.keras == keras_accuracy
    assert classifier.metadata.accuracy.file == accuracy
    if classifier.metadata.precision == "float32":
        assert np.abs(found - expected).max() <= 1e-4
    else:
        assert accuracy >= keras_accuracy - 0.003
        assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.98


def test_test_vectors_images_are_steady(  # noqa: PLR0917 (fixtures)
    exported: Path,
    export: Callable[..., Manifest],
    source: SourceModel,
    splits: Splits,
    few: Splits,
    tmp_path: Path,
) -> None:
    """Of int8 TFLite, no test_vectors image is one that an older interpreter answers otherwise.

    Also where the images of which Keras is half sure, which would be taken, are all such ones.
    """
    metadata = Classifier(exported / NAMES[2]).metadata
    model = (exported / NAMES[2]).read_bytes()[: metadata.model_bytes]
    images = splits.validation.images[:2000]
    probabilities = source.model.predict(to_tensor(images, source.spec), verbose=0)
    unsure = np.abs(probabilities.max(axis=1) - 0.6)
    apart = kernel_difference(model, images) > 0
    half_sure = np.flatnonzero(apart & (unsure < 0.1))[:20]
    assert len(half_sure) > 3
    others = np.flatnonzero(~apart & (unsure > 0.1) & (unsure < 0.3))[:100]
    held_out = splits.validation.take(np.concatenate([half_sure, others]), "chosen")
    asked = Reference(held_out, "probabilities", probabilities[[*half_sure, *others]])
    assert kernel_difference(model, select_test_vectors(asked)).any()

    export(
        formats=(Format.TFLITE_INT8,),
        calibration=CalibrationSet(few.train.images[:200], few.train.name, 0),
        held_out=held_out,
        folder=tmp_path,
        max_accuracy_drop=1,
    )
    made = Classifier(tmp_path / NAMES[2]).metadata
    assert made.test_vectors is not None
    assert (tmp_path / NAMES[2]).read_bytes()[: made.model_bytes] == model
    pixels, _ = test_vectors.decode(made.test_vectors, made.input.shape)
    assert len(pixels) == 3
    assert not kernel_difference(model, pixels).any()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_held_out_images(
    count: int, export: Callable[..., Manifest], few: Splits, tmp_path: Path
) -> None:
    """However few there are, some of them travel in the file."""
    held_out = few.validation.take(np.arange(count), "few")
    export(formats=(Format.TFLITE_INT8,), held_out=held_out, folder=tmp_path, max_accuracy_drop=1)
    metadata = Classifier(tmp_path / NAMES[2]).metadata
    assert metadata.test_vectors is not None
    pixels, _ = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    assert 1 <= len(pixels) <= min(count, 3)
    assert all(any(np.array_equal(one, other) for other in held_out.images) for one in pixels)


@pytest.fixture(scope="session")
def twice(
    source: SourceModel, few: Splits, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[Manifest, dict[str, bytes]], ...]:
    """All formats with their reports, exported twice into one folder: manifests and files."""
    folder = tmp_path_factory.mktemp("twice")
    return tuple(
        (
            exporter.export(
                source,
                formats=tuple(Format),
                calibration=CalibrationSet(few.train.images[:100], few.train.name, 0),
                held_out=few.validation,
                folder=folder,
                progress=lambda _: None,
                max_accuracy_drop=0.05,
                debug=True,
            ),
            files(folder),
        )
        for _ in range(2)
    )


def test_the_same_export_gives_the_same_bytes(
    twice: tuple[tuple[Manifest, dict[str, bytes]], ...],
) -> None:
    """A second export replaces the first one's files with equal ones, the manifest included."""
    first, second = twice
    assert first[0] == second[0]
    assert sorted(first[1]) == sorted(second[1])
    assert [name for name in first[1] if first[1][name] != second[1][name]] == []


def test_all_formats(twice: tuple[tuple[Manifest, dict[str, bytes]], ...]) -> None:
    """There is a file of each of the eight formats, each with its metadata, none with int8's alone."""
    manifest, content = twice[0]
    assert not manifest.refused
    assert [file.file for file in manifest.files] == [form.file_name("baseline") for form in Format]
    assert sorted(content) == sorted([*manifest.names, "manifest.json"])
    assert all(file.accuracy.agreement > 0.95 for file in manifest.files)
    assert all(bool(file.attempts) == (file.precision == "int8") for file in manifest.files)


def test_reports_of_layers(
    twice: tuple[tuple[Manifest, dict[str, bytes]], ...],
    export: Callable[..., Manifest],
    tmp_path: Path,
) -> None:
    """A table and an image for each int8 file belong to the export, and go with the next one."""
    manifest, content = twice[0]
    assert manifest.reports == (
        "baseline.int8.tflite.layers.md",
        "baseline.int8.tflite.layers.png",
        "baseline.int8.onnx.layers.md",
        "baseline.int8.onnx.layers.png",
    )
    assert all(
        content[name].startswith(b"\x89PNG" if name.endswith("png") else f"# {name[:-10]}".encode())
        for name in manifest.reports
    )
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    export(folder=tmp_path, formats=FLOAT32)
    assert sorted(files(tmp_path)) == sorted([*NAMES[:2], "manifest.json"])


def test_only_what_was_asked_for(export: Callable[..., Manifest], tmp_path: Path) -> None:
    """Without int8 there are the two float files and the manifest."""
    manifest = export(formats=FLOAT32)
    assert [file.file for file in manifest.files] == NAMES[:2]
    assert sorted(files(tmp_path / "made" / "export")) == sorted([*NAMES[:2], "manifest.json"])


def test_progress_names_each_step(export: Callable[..., Manifest]) -> None:
    """One line when Keras is asked, one for each file, and one for each try of int8."""
    lines: list[str] = []
    export(progress=lines.append)
    assert "500 held-out images" in lines[0]
    assert [line for line in lines[1:] if "int8 with" not in line] == [
        f"converting and verifying {name}" for name in NAMES
    ]
    assert f"{NAMES[-1]}: int8 with min-max ranges" in lines


@pytest.mark.parametrize("debug", [False, True])
def test_a_network_that_cannot_be_int8(
    debug: bool, export: Callable[..., Manifest], pixels_above_zero: SourceModel, tmp_path: Path
) -> None:
    """Files that cannot be made are left out with the reason, reports or not; others are there.

    Those of an earlier export go: they are of another model.
    """
    folder = tmp_path / "made" / "export"
    export()
    manifest = export(source=pixels_above_zero, debug=debug, max_accuracy_drop=1.0)
    assert [file.file for file in manifest.files] == NAMES[:2]
    assert [refused.file for refused in manifest.refused] == NAMES[2:]
    for refused in manifest.refused:
        assert "needs an input range that includes zero" in refused.reason
        assert refused.attempts == ()
    assert not any("onnx" in name for name in manifest.reports)
    assert sorted(files(folder)) == sorted([*manifest.names, "manifest.json"])


@pytest.mark.parametrize("earlier", [False, True])
def test_a_float_file_fails(
    earlier: bool,
    export: Callable[..., Manifest],
    source: SourceModel,
    unconvertible: Any,
    tmp_path: Path,
) -> None:
    """What cannot be float32 leaves an earlier export, and all else there, as it was.

    Nothing is left in a folder that was made for the export.
    """
    folder = tmp_path / "made" / "export"
    if earlier:
        export()
        (folder / "notes.txt").write_text("mine", "utf-8")
    before = files(tmp_path / "made")
    lines: list[str] = []
    with pytest.raises(ExportError, match="cannot convert to float32 TFLite"):
        export(
            source=dataclasses.replace(source, model=unconvertible),
            formats=(*INT8[1:], *FLOAT32),
            progress=lines.append,
        )
    assert lines[-1].endswith(NAMES[0])
    assert files(folder) == {
        name.removeprefix("export/"): data for name, data in before.items() if name != "export/"
    }


def test_other_labels_or_another_input(
    export: Callable[..., Manifest], source: SourceModel, tmp_path: Path
) -> None:
    """Labels or an image size that the model does not have are refused before any work."""
    three = dataclasses.replace(source, labels=("a", "b", "c"))
    with pytest.raises(ExportError, match=r"\(3,\), the model has \(28, 28, 1\) and \(10,\)"):
        export(source=three)
    colour = dataclasses.replace(source.spec, channels=3)
    with pytest.raises(ExportError, match=r"stated as \(28, 28, 3\) and \(10,\), the model"):
        export(source=dataclasses.replace(source, spec=colour))
    assert not files(tmp_path)


def test_a_file_in_the_folders_way(export: Callable[..., Manifest], tmp_path: Path) -> None:
    """Below a regular file there can be no folder: said before any work, the file stays."""
    (tmp_path / "file").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match=f"cannot write to '{tmp_path}/file/export'"):
        export(folder=tmp_path / "file" / "export")
    assert files(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("name", [NAMES[0], "manifest.json"])
def test_a_folder_in_a_files_way(
    name: str, export: Callable[..., Manifest], tmp_path: Path
) -> None:
    """A folder that has the name of a file to write is said before any work."""
    folder = tmp_path / "export"
    (folder / name).mkdir(parents=True)
    before = files(folder)
    lines: list[str] = []
    with pytest.raises(OutputError, match=f"'{folder}/{name}': a folder of that name"):
        export(folder=folder, progress=lines.append)
    assert files(folder) == before
    assert not lines


def test_the_folder_vanishes(export: Callable[..., Manifest], tmp_path: Path) -> None:
    """A folder that is moved away in the middle is an OutputError, not a traceback."""
    folder = tmp_path / "export"

    def move(line: str) -> None:
        if NAMES[1] in line:
            folder.rename(tmp_path / "moved")

    with pytest.raises(OutputError, match=f"cannot write to .*{NAMES[1]}"):
        export(folder=folder, progress=move)


def test_a_full_disk(export: Callable[..., Manifest], small_disk: Path) -> None:
    """Where there is no space the reason is given in a line, and what was there stays."""
    (small_disk / NAMES[0]).write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left on device") as caught:
        export(folder=small_disk)
    assert "\n" not in str(caught.value)
    assert files(small_disk) == {NAMES[0]: b"old"}


def test_a_disk_that_is_read_only(export: Callable[..., Manifest], small_disk: Path) -> None:
    """A folder that cannot be written to is said before any work."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    lines: list[str] = []
    with pytest.raises(OutputError, match="Read-only file system"):
        export(folder=small_disk, progress=lines.append)
    assert not lines
