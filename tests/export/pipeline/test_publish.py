"""Publishing of an export: all files or none, whenever it is interrupted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.common.calibration import CalibrationSet
from fmx_export.pipeline import export
from fmx_export.pipeline.formats import FLOAT32, INT8
from fmx_export.pipeline.manifest import MANIFEST, Manifest
from fmx_export.pipeline.publish import finish_publishing, publishing
from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

NOTES = "notes.txt"
KILLS = 6 * int(os.environ.get("FMX_TEST_SEEDS", "1"))  # make test-all sets it
PROCESSES = 2

# imports everything once and forks for each export, before TensorFlow has started threads
EXPORTER = """
import os, signal, sys, time
from pathlib import Path
import keras, numpy as np
from fmx_export.common.calibration import CalibrationSet
from fmx_export.pipeline.export import export
from fmx_export.pipeline.formats import FLOAT32, INT8
from fmx_export.source.source_model import SourceModel
from fmx_runtime.model_file.metadata import InputSpec, Provenance
from fmx_training.data.dataset import Dataset

path, images = Path(sys.argv[1]), np.load(sys.argv[2])
images, labels = images["images"], images["labels"]
names = tuple(map(str, range(10)))


def export_into(folder):
    export(
        SourceModel(
            model=keras.models.load_model(path, compile=False),
            path=path,
            name="later",
            labels=names,
            spec=InputSpec(
                height=28, width=28, channels=1, scale=1 / 255, offset=0.0, resize="fit",
                polarity="any",
            ),
            provenance=Provenance(
                recipe="", seed=0, data="", data_digest="", keras_digest="", commit="", versions={}
            ),
        ),
        formats=(*FLOAT32, *INT8),
        calibration=CalibrationSet(images[:20], "", 0),
        validation=Dataset("", images, labels, names),
        folder=folder,
        progress=lambda _: None,
        max_accuracy_drop=1.0,
    )


for line in sys.stdin:
    folder, seconds = line.split()
    child = os.fork()
    if not child:
        try:
            export_into(Path(folder))
            os._exit(0)
        finally:
            os._exit(1)
    if seconds != "never":
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class PowerCutError(BaseException):
    """Simulates a power cut; no handler of `Exception` catches it."""


class Exporter:
    """Runs exports in processes of their own, which have imported all libraries."""

    def __init__(self, model: Path, images: Path) -> None:
        """Start the process that imports the libraries."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", EXPORTER, model, images],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, folder: Path, killed_after: float | str = "never") -> int:
        """Export into a folder, kill the process after some seconds, and return the exit code."""
        assert self._process.stdin
        assert self._process.stdout
        print(folder, killed_after, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="session")
def earlier(source: SourceModel, few: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real export of a model with another name, with layer reports, and a file of the user."""
    folder = tmp_path_factory.mktemp("earlier")
    export.export(
        dataclasses.replace(source, name="earlier"),
        formats=(*FLOAT32, *INT8),
        calibration=CalibrationSet(few.train.images[:20], few.train.name, 0),
        validation=few.validation,
        folder=folder,
        progress=lambda _: None,
        max_accuracy_drop=1.0,
        layer_report=True,
    )
    (folder / NOTES).write_text("mine", "utf-8")
    return folder


@pytest.fixture
def folder(earlier: Path, tmp_path: Path) -> Path:
    """A copy of the earlier export."""
    return Path(shutil.copytree(earlier, tmp_path / "export"))


def file_names(folder: Path) -> set[str]:
    """The names of all files in a folder, also of hidden ones."""
    return {path.name for path in folder.iterdir()}


def check_complete(folder: Path) -> str:
    """Check that a folder has exactly the files of its manifest; return the model's name."""
    manifest = Manifest.read(folder)
    for file in manifest.files:
        content = (folder / file.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert len(content) == file.size_bytes
    hidden = {name for name in file_names(folder) if name.startswith(".fmx-")}
    assert file_names(folder) - hidden == {*manifest.file_names, MANIFEST, NOTES}
    assert (folder / NOTES).read_text("utf-8") == "mine"
    return manifest.name


def hidden_folders(folder: Path) -> list[Path]:
    """The hidden folders of an unfinished export."""
    return list(folder.glob(".fmx-*"))


def publish(folder: Path, later: Path) -> None:
    """Publish copies of the files of another export."""
    with publishing(folder, Manifest.read(later).file_names) as staging:
        for path in later.iterdir():
            shutil.copy(path, staging)


def interrupt_at(rename: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a power cut in the place of a rename, counted from 0; the file system is real."""
    replace, count = Path.replace, iter(range(rename))

    def replace_or_stop(path: Path, target: Path) -> Path:
        if next(count, None) is None:
            raise PowerCutError
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_or_stop)


def test_later_export_replaces_the_earlier(folder: Path, exported: Path) -> None:
    """Files that the later export does not have are removed, files of the user are kept."""
    publish(folder, exported)
    assert check_complete(folder) == "baseline"
    assert not hidden_folders(folder)
    for name in file_names(exported):
        assert (folder / name).read_bytes() == (exported / name).read_bytes()


def test_smaller_export_of_the_same_model(exported: Path, tmp_path: Path) -> None:
    """An export of fewer formats removes the other files of the earlier one."""
    folder = Path(shutil.copytree(exported, tmp_path / "export"))
    manifest = Manifest.read(exported)
    smaller = dataclasses.replace(manifest, files=manifest.files[:2])
    (folder / NOTES).write_text("mine", "utf-8")
    with publishing(folder, smaller.file_names) as staging:
        for name in smaller.file_names:
            shutil.copy(exported / name, staging)
        (staging / MANIFEST).write_text(smaller.to_json(), "utf-8")
    assert check_complete(folder) == "baseline"
    assert file_names(folder) == {*smaller.file_names, MANIFEST, NOTES}


RENAMES = 6
"""Renames of an export of four files: the staging folder, each file, and the manifest."""


@pytest.mark.parametrize("rename", range(RENAMES + 1))
def test_interrupted_at_each_rename(
    rename: int, folder: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first rename the earlier export is complete; after it, the later is finished."""
    with monkeypatch.context() as power:
        interrupt_at(rename, power)
        if rename < RENAMES:
            with pytest.raises(PowerCutError):
                publish(folder, exported)
        else:
            publish(folder, exported)
    if rename < RENAMES:
        assert Manifest.read(folder).name == "earlier"  # until the last rename
    finish_publishing(folder)
    assert check_complete(folder) == ("baseline" if rename else "earlier")
    assert not hidden_folders(folder)


def test_interrupted_again_and_again(
    folder: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If each attempt to finish is interrupted after one rename, the last completes the export."""
    cuts = 0
    with monkeypatch.context() as power:
        interrupt_at(1, power)
        with pytest.raises(PowerCutError):
            publish(folder, exported)
    while hidden_folders(folder):
        with monkeypatch.context() as power:
            interrupt_at(1, power)
            try:
                finish_publishing(folder)
            except PowerCutError:
                cuts += 1
    assert cuts == RENAMES - 2
    assert check_complete(folder) == "baseline"


@pytest.mark.parametrize("rename", range(RENAMES))
def test_next_export_after_an_interruption(
    rename: int, folder: Path, exported: Path, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export into the folder of an interrupted one replaces it, however far that had come."""
    with monkeypatch.context() as power:
        interrupt_at(rename, power)
        with pytest.raises(PowerCutError):
            publish(folder, exported)
    (folder / ".fmx-_killed" / "export").mkdir(parents=True)
    (folder / ".fmx-_killed" / "export" / "half").write_bytes(b"a model, in part")
    with publishing(folder, Manifest.read(earlier).file_names) as staging:
        for name in file_names(earlier) - {NOTES}:
            shutil.copy(earlier / name, staging)
    assert check_complete(folder) == "earlier"
    assert not hidden_folders(folder)


def test_failed_export(folder: Path, exported: Path) -> None:
    """If an exception is raised, only the earlier export is in the folder."""

    def fail() -> None:
        with publishing(folder, []) as staging:
            shutil.copytree(exported, staging, dirs_exist_ok=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert check_complete(folder) == "earlier"
    assert not hidden_folders(folder)


def test_nothing_to_finish(folder: Path, tmp_path: Path) -> None:
    """Without an unfinished export nothing changes, and a missing folder is not created."""
    finish_publishing(folder)
    assert check_complete(folder) == "earlier"
    finish_publishing(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["baseline.int8.onnx", MANIFEST])
def test_folder_appears_during_the_export(name: str, folder: Path, exported: Path) -> None:
    """A folder that gets a file's name during the export is an error before any file is moved."""
    before = file_names(folder)

    def publish_into() -> None:
        with publishing(folder, []) as staging:
            shutil.copytree(exported, staging, dirs_exist_ok=True)
            (folder / name).unlink(missing_ok=True)
            (folder / name).mkdir()

    with pytest.raises(OutputError, match=f"'{folder}/{name}': a folder with this name exists"):
        publish_into()
    assert file_names(folder) == before | {name}


def test_files_elsewhere_are_kept(folder: Path, exported: Path, tmp_path: Path) -> None:
    """Files outside the folder are not removed even if a manifest names them."""
    (tmp_path / "precious.txt").write_text("mine", "utf-8")
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    manifest["layer_reports"] += ["../precious.txt", str(tmp_path / "precious.txt")]
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    publish(folder, exported)
    assert check_complete(folder) == "baseline"
    assert (tmp_path / "precious.txt").read_text("utf-8") == "mine"


def test_damaged_manifest(folder: Path, exported: Path) -> None:
    """If the earlier export has no readable manifest, its files are kept."""
    (folder / MANIFEST).write_text("{", "utf-8")
    before = file_names(folder)
    publish(folder, exported)
    assert file_names(folder) == before | file_names(exported)


@pytest.fixture
def exporters(few: Splits, tmp_path: Path) -> Any:
    """Two processes to export a small network with."""
    keras.utils.set_random_seed(0)
    small = [layers.Conv2D(4, 3, strides=2, activation="relu"), layers.Flatten()]
    model = keras.Sequential([keras.Input((28, 28, 1)), *small, layers.Dense(10, "softmax")])
    model.save(tmp_path / "model.keras")
    validation = few.validation.balanced_sample(100, 0)
    np.savez(tmp_path / "images.npz", images=validation.images, labels=validation.labels)
    exporters = [
        Exporter(tmp_path / "model.keras", tmp_path / "images.npz") for _ in range(PROCESSES)
    ]
    yield exporters
    for exporter in exporters:
        exporter.close()


def test_killed_at_random_moments(exporters: list[Exporter], earlier: Path, tmp_path: Path) -> None:
    """An export killed at random moments leaves the earlier one, or one that can be finished.

    The next export always succeeds, and leaves no files of the killed one.
    """

    def kill(number: int) -> list[str]:
        exporter, moments = exporters[number], random.Random(number)
        folder, remaining = tmp_path / f"export-{number}", list[str]()
        assert exporter.run(folder) == 0  # also waits for the imports
        start = time.perf_counter()
        assert exporter.run(folder) == 0
        duration = time.perf_counter() - start
        while len(remaining) < KILLS // PROCESSES:
            shutil.rmtree(folder)
            shutil.copytree(earlier, folder)
            code = exporter.run(folder, moments.uniform(0, duration))
            if code == 0:  # the export had finished
                continue
            assert code == -signal.SIGKILL
            ready = (folder / ".fmx-ready").exists()
            finish_publishing(folder)
            remaining.append(check_complete(folder))
            assert remaining[-1] == "later" or not ready
            assert exporter.run(folder) == 0
            assert check_complete(folder) == "later"
            assert not hidden_folders(folder)
        return remaining

    with ThreadPoolExecutor(PROCESSES) as threads:
        remaining = [name for each in threads.map(kill, range(PROCESSES)) for name in each]
    assert len(remaining) == KILLS
    assert "earlier" in remaining
