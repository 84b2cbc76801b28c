"""``fmx bench`` given what it cannot measure."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest

from fmx_cli.bench import bench_files
from fmx_export.manifest import MANIFEST, Manifest
from fmx_runtime.errors import DataError, FmxError, ModelFileError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "'it' does not exist"),
        (lambda path: path.mkdir(), r"'it' has no manifest\.json: it is no export folder"),
        (lambda path: path.write_text("no model", "utf-8"), "neither a TFLite nor an ONNX model"),
        (lambda path: path.write_bytes(b""), "neither a TFLite nor an ONNX model"),
    ],
)
def test_what_is_no_model_is_named(here: Path, make: object, message: str) -> None:
    """A missing file, an empty folder and a file that is no model are one line each."""
    make(here / "it")  # type: ignore[operator]
    with pytest.raises(FmxError, match=message) as caught:
        bench_files([here.joinpath("it").relative_to(here)], None, None)
    assert "\n" not in str(caught.value)
    assert not (here / "reports").exists()


def test_nothing_exported_yet(here: Path) -> None:
    """Without an export the remedy is the export command."""
    with pytest.raises(DataError, match="no exported model in 'exports'; 'fmx export --int8'"):
        bench_files([], None, None)
    assert not list(here.iterdir())


def test_a_manifest_without_files(here: Path, exported: Path) -> None:
    """An export folder that lists no file is named."""
    empty = dataclasses.replace(Manifest.read(exported), files=())
    (here / MANIFEST).write_text(empty.to_json(), "utf-8")
    with pytest.raises(DataError, match="lists no model file: export again"):
        bench_files([here], None, None)


def test_a_file_of_the_manifest_is_gone(here: Path, exported: Path) -> None:
    """A file that the manifest names and the folder lacks is named, and no report is begun."""
    copy = shutil.copytree(exported, here / "copy")
    (copy / "baseline.int8.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"baseline\.int8\.onnx' does not exist"):
        bench_files([copy], None, None)
    assert not (here / "reports").exists()
