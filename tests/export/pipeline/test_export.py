"""A whole export: all files, or none."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_export.common.calibration import CalibrationSet
from fmx_export.pipeline import export as exporter
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, OutputError
from fmx_runtime.images.preprocess import to_tensor

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
    """The content of all files below a folder, hidden ones too; folders end with a slash."""
    return {
        str(path.relative_to(folder)) + "/" * path.is_dir(): b""
        if path.is_dir()
        else path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.fixture
def range_without_zero(source: SourceModel) -> SourceModel:
    """A network whose input range 0.5..1 does not include zero, as int8 needs it."""
    spec = dataclasses.replace(source.spec, scale=0.5 / 255, offset=0.5)
    return dataclasses.replace(source, spec=spec)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 kB; skips if this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_manifest_describes_each_file(exported: Path, source: SourceModel) -> None:
    """manifest.json lists exactly the files in the folder, with size, SHA-256 and accuracy."""
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


def test_manifest_leads_to_the_keras_model(exported: Path, source: SourceModel) -> None:
    """The path in the manifest is relative to its folder, and leads to the model."""
    stated = json.loads((exported / "manifest.json").read_text("utf-8"))["keras_model"]
    assert not stated.startswith("/")
    assert (exported / stated).samefile(source.path)


def test_manifest_of_a_linked_folder(
    export: Callable[..., Manifest], source: SourceModel, tmp_path: Path
) -> None:
    """If the folder is a symbolic link, the path is relative to the link's target."""
    (tmp_path / "far/away").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "far/away")
    manifest = export(folder=link, formats=FLOAT32)
    assert (link / manifest.keras_model).samefile(source.path)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str, exported: Path, source: SourceModel, splits: Splits) -> None:
    """On 5,000 images float files agree with Keras; int8 files lose at most 0.3 points."""
    images = splits.validation
    classifier = Classifier(exported / name)
    tensor = to_tensor(images.images, source.spec)
    expected = source.model.predict(tensor, batch_size=500, verbose=0)
    probabilities = classifier.predict(images.images)
    keras_accuracy = np.mean(expected.argmax(axis=1) == images.labels)
    accuracy = np.mean(probabilities.argmax(axis=1) == images.labels)
    assert classifier.metadata.accuracy is not None
    assert classifier.metadata.accuracy.size == len(images) == 5000
    assert classifier.metadata.accuracy.keras == keras_accuracy
    assert classifier.metadata.accuracy.file == accuracy
    if classifier.metadata.precision == "float32":
        assert np.abs(probabilities - expected).max() <= 1e-4
    else:
        assert accuracy >= keras_accuracy - 0.003
        assert np.mean(probabilities.argmax(axis=1) == expected.argmax(axis=1)) > 0.98


@pytest.fixture(scope="session")
def twice(
    source: SourceModel, few: Splits, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[Manifest, dict[str, bytes]], ...]:
    """All formats with layer reports, exported twice into one folder: manifests and files."""
    folder = tmp_path_factory.mktemp("twice")
    return tuple(
        (
            exporter.export(
                source,
                formats=tuple(Format),
                calibration=CalibrationSet(few.train.images[:100], few.train.name, 0),
                validation=few.validation,
                folder=folder,
                progress=lambda _: None,
                max_accuracy_drop=0.05,
                layer_report=True,
            ),
            files(folder),
        )
        for _ in range(2)
    )


def test_export_is_reproducible(
    twice: tuple[tuple[Manifest, dict[str, bytes]], ...],
) -> None:
    """A second export replaces all files, also the manifest, by equal ones."""
    first, second = twice
    assert first[0] == second[0]
    assert sorted(first[1]) == sorted(second[1])
    assert [name for name in first[1] if first[1][name] != second[1][name]] == []


def test_all_formats(twice: tuple[tuple[Manifest, dict[str, bytes]], ...]) -> None:
    """There is a file of each of the eight formats; only int8 files have attempts."""
    manifest, content = twice[0]
    assert not manifest.rejected
    assert [file.file for file in manifest.files] == [each.file_name("baseline") for each in Format]
    assert sorted(content) == sorted([*manifest.file_names, "manifest.json"])
    assert all(file.accuracy.agreement > 0.95 for file in manifest.files)
    assert all(bool(file.attempts) == (file.precision == "int8") for file in manifest.files)


def test_layer_reports(
    twice: tuple[tuple[Manifest, dict[str, bytes]], ...],
    export: Callable[..., Manifest],
    tmp_path: Path,
) -> None:
    """The export has a table and a plot for each int8 file; the next export removes them."""
    manifest, content = twice[0]
    assert manifest.layer_reports == (
        "baseline.int8.tflite.layers.md",
        "baseline.int8.tflite.layers.png",
        "baseline.int8.onnx.layers.md",
        "baseline.int8.onnx.layers.png",
    )
    assert all(
        content[name].startswith(b"\x89PNG" if name.endswith("png") else f"# {name[:-10]}".encode())
        for name in manifest.layer_reports
    )
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    export(folder=tmp_path, formats=FLOAT32)
    assert sorted(files(tmp_path)) == sorted([*NAMES[:2], "manifest.json"])


def test_export_of_some_formats(export: Callable[..., Manifest], tmp_path: Path) -> None:
    """An export of float32 formats writes the two float32 files and the manifest."""
    manifest = export(formats=FLOAT32)
    assert [file.file for file in manifest.files] == NAMES[:2]
    assert sorted(files(tmp_path / "made" / "export")) == sorted([*NAMES[:2], "manifest.json"])


def test_progress(export: Callable[..., Manifest]) -> None:
    """There is a line for the Keras model, one for each file, and one for each int8 attempt."""
    lines: list[str] = []
    export(progress=lines.append)
    assert "500 validation images" in lines[0]
    assert [line for line in lines[1:] if "int8 with" not in line] == [
        f"converting and verifying {name}" for name in NAMES
    ]
    assert f"{NAMES[-1]}: int8 with min-max calibration" in lines


@pytest.mark.parametrize("layer_report", [False, True])
def test_rejected_files(
    layer_report: bool,
    export: Callable[..., Manifest],
    range_without_zero: SourceModel,
    tmp_path: Path,
) -> None:
    """Files that cannot be made are rejected with the reason; the others are written.

    Files of an earlier export, which belong to another model, are removed.
    """
    folder = tmp_path / "made" / "export"
    export()
    manifest = export(source=range_without_zero, layer_report=layer_report, max_accuracy_drop=1.0)
    assert [file.file for file in manifest.files] == NAMES[:2]
    assert [rejected.file for rejected in manifest.rejected] == NAMES[2:]
    for rejected in manifest.rejected:
        assert "needs an input range that includes zero" in rejected.reason
        assert rejected.attempts == ()
    assert not any("onnx" in name for name in manifest.layer_reports)
    assert sorted(files(folder)) == sorted([*manifest.file_names, "manifest.json"])


@pytest.mark.parametrize("earlier", [False, True])
def test_failed_float32_file(
    earlier: bool,
    export: Callable[..., Manifest],
    source: SourceModel,
    unconvertible: Any,
    tmp_path: Path,
) -> None:
    """If a float32 file cannot be made, an earlier export and other files are not changed.

    Nothing is left in a folder that was created for the export.
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


def test_labels_and_input_must_fit_the_model(
    export: Callable[..., Manifest], source: SourceModel, tmp_path: Path
) -> None:
    """Another number of labels or another input shape is an error before anything is written."""
    three = dataclasses.replace(source, labels=("a", "b", "c"))
    with pytest.raises(ExportError, match=r"shape \(10,\); its .* state \(28, 28, 1\) and \(3,\)"):
        export(source=three)
    rgb = dataclasses.replace(source.spec, channels=3)
    with pytest.raises(ExportError, match=r"input shape \(28, 28, 1\) .* state \(28, 28, 3\) and"):
        export(source=dataclasses.replace(source, spec=rgb))
    assert not files(tmp_path)


def test_output_folder_below_a_file(export: Callable[..., Manifest], tmp_path: Path) -> None:
    """An output folder below a regular file is an error before any work; the file is kept."""
    (tmp_path / "file").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match=f"cannot write to '{tmp_path}/file/export'"):
        export(folder=tmp_path / "file" / "export")
    assert files(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("name", [NAMES[0], "manifest.json"])
def test_folder_with_the_name_of_a_file(
    name: str, export: Callable[..., Manifest], tmp_path: Path
) -> None:
    """A folder with the name of a file to write is an error before any work."""
    folder = tmp_path / "export"
    (folder / name).mkdir(parents=True)
    before = files(folder)
    lines: list[str] = []
    with pytest.raises(OutputError, match=f"'{folder}/{name}': a folder with this name exists"):
        export(folder=folder, progress=lines.append)
    assert files(folder) == before
    assert not lines


def test_folder_is_moved_away(export: Callable[..., Manifest], tmp_path: Path) -> None:
    """If the folder is moved away during the export, an OutputError is raised."""
    folder = tmp_path / "export"

    def move(line: str) -> None:
        if NAMES[1] in line:
            folder.rename(tmp_path / "moved")

    with pytest.raises(OutputError, match=f"cannot write to .*{NAMES[1]}"):
        export(folder=folder, progress=move)


def test_full_disk(export: Callable[..., Manifest], small_disk: Path) -> None:
    """On a full disk the error is one line with the cause, and existing files are kept."""
    (small_disk / NAMES[0]).write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left on device") as caught:
        export(folder=small_disk)
    assert "\n" not in str(caught.value)
    assert files(small_disk) == {NAMES[0]: b"old"}


def test_read_only_disk(export: Callable[..., Manifest], small_disk: Path) -> None:
    """A folder that cannot be written to is an error before any work."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    lines: list[str] = []
    with pytest.raises(OutputError, match="Read-only file system"):
        export(folder=small_disk, progress=lines.append)
    assert not lines
