"""An export comes into its folder whole or not at all, whenever it is cut off."""

from __future__ import annotations

import dataclasses
import hashlib
import json
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
KILLS = 20
AT_ONCE = 2

# imports everything once and forks for each export, before anything of TensorFlow was used
EXPORTER = """
import os, signal, sys, time
from pathlib import Path
import keras, numpy as np
from fmx_export import bundle
from fmx_export.pipeline.formats import FLOAT32, INT8
from fmx_runtime.model_file.metadata import InputSpec, Provenance
from fmx_training.data.dataset import Dataset

path, images = Path(sys.argv[1]), np.load(sys.argv[2])
images, labels = images["images"], images["labels"]
names = tuple(map(str, range(10)))


def export(folder):
    export.export(
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
        held_out=Dataset("", images, labels, names),
        folder=folder,
        progress=lambda _: None,
        max_accuracy_drop=1.0,
    )


for line in sys.stdin:
    folder, seconds = line.split()
    child = os.fork()
    if not child:
        try:
            export(Path(folder))
            os._exit(0)
        finally:
            os._exit(1)
    if seconds != "never":
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class PowerCutError(BaseException):
    """Nothing catches it, as nothing outlives a power cut."""


class Exporter:
    """Runs exports, each as a process that finds all libraries imported."""

    def __init__(self, model: Path, images: Path) -> None:
        """Start the process that imports them."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", EXPORTER, model, images],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, folder: Path, killed_after: float | str = "never") -> int:
        """Export into a folder, perhaps killed after some seconds; the exit code."""
        assert self._process.stdin
        assert self._process.stdout
        print(folder, killed_after, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="session")
def earlier(source: SourceModel, few: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real export with reports, of a model of another name, and a file of the user's beside."""
    folder = tmp_path_factory.mktemp("earlier")
    export.export(
        dataclasses.replace(source, name="earlier"),
        formats=(*FLOAT32, *INT8),
        calibration=CalibrationSet(few.train.images[:20], few.train.name, 0),
        held_out=few.validation,
        folder=folder,
        progress=lambda _: None,
        max_accuracy_drop=1.0,
        debug=True,
    )
    (folder / NOTES).write_text("mine", "utf-8")
    return folder


@pytest.fixture
def folder(earlier: Path, tmp_path: Path) -> Path:
    """A copy of the earlier export."""
    return Path(shutil.copytree(earlier, tmp_path / "export"))


def names(folder: Path) -> set[str]:
    """All that is there, hidden or not."""
    return {path.name for path in folder.iterdir()}


def whole(folder: Path) -> str:
    """Whose export it is, after each file was found as its manifest says, and none beside them."""
    manifest = Manifest.read(folder)
    for file in manifest.files:
        content = (folder / file.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert len(content) == file.size_bytes
    hidden = {name for name in names(folder) if name.startswith(".fmx-")}
    assert names(folder) - hidden == {*manifest.names, MANIFEST, NOTES}
    assert (folder / NOTES).read_text("utf-8") == "mine"
    return manifest.name


def left_behind(folder: Path) -> list[Path]:
    """What an export works in."""
    return list(folder.glob(".fmx-*"))


def publish(folder: Path, later: Path) -> None:
    """Publish the files of another export, as if they had just been made."""
    with publishing(folder, Manifest.read(later).names) as staging:
        for path in later.iterdir():
            shutil.copy(path, staging)


def cut_off_at(rename: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the power cut off in the place of a renaming, counted from 0; the disk is real."""
    replace, count = Path.replace, iter(range(rename))

    def replace_or_stop(path: Path, target: Path) -> Path:
        if next(count, None) is None:
            raise PowerCutError
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_or_stop)


def test_the_later_export_replaces_the_earlier(folder: Path, exported: Path) -> None:
    """Files and reports that the later one lacks go, what is not of an export stays."""
    publish(folder, exported)
    assert whole(folder) == "baseline"
    assert not left_behind(folder)
    for name in names(exported):
        assert (folder / name).read_bytes() == (exported / name).read_bytes()


def test_files_of_the_same_name(exported: Path, tmp_path: Path) -> None:
    """A smaller export of the same model leaves no file of the larger one behind."""
    folder = Path(shutil.copytree(exported, tmp_path / "export"))
    manifest = Manifest.read(exported)
    smaller = dataclasses.replace(manifest, files=manifest.files[:2])
    (folder / NOTES).write_text("mine", "utf-8")
    with publishing(folder, smaller.names) as staging:
        for name in smaller.names:
            shutil.copy(exported / name, staging)
        (staging / MANIFEST).write_text(smaller.to_json(), "utf-8")
    assert whole(folder) == "baseline"
    assert names(folder) == {*smaller.names, MANIFEST, NOTES}


RENAMES = 6
"""Of an export of four files: all of them under one name, each to its own, and the manifest."""


@pytest.mark.parametrize("rename", range(RENAMES + 1))
def test_cut_off_at_each_rename(
    rename: int, folder: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before the first rename, the earlier export is whole; after it, the later can be."""
    with monkeypatch.context() as power:
        cut_off_at(rename, power)
        if rename < RENAMES:
            with pytest.raises(PowerCutError):
                publish(folder, exported)
        else:
            publish(folder, exported)
    if rename < RENAMES:
        assert Manifest.read(folder).name == "earlier"  # until the very last
    finish_publishing(folder)
    assert whole(folder) == ("baseline" if rename else "earlier")
    assert not left_behind(folder)


def test_cut_off_again_and_again(
    folder: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When each try to finish ends after one more rename, the last of them completes the export."""
    cuts = 0
    with monkeypatch.context() as power:
        cut_off_at(1, power)
        with pytest.raises(PowerCutError):
            publish(folder, exported)
    while left_behind(folder):
        with monkeypatch.context() as power:
            cut_off_at(1, power)
            try:
                finish_publishing(folder)
            except PowerCutError:
                cuts += 1
    assert cuts == RENAMES - 2
    assert whole(folder) == "baseline"


@pytest.mark.parametrize("rename", range(RENAMES))
def test_the_next_export_tidies_up(
    rename: int, folder: Path, exported: Path, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export into a folder in which another was cut off replaces it, whatever had been done."""
    with monkeypatch.context() as power:
        cut_off_at(rename, power)
        with pytest.raises(PowerCutError):
            publish(folder, exported)
    (folder / ".fmx-_killed" / "export").mkdir(parents=True)
    (folder / ".fmx-_killed" / "export" / "half").write_bytes(b"a model, in part")
    with publishing(folder, Manifest.read(earlier).names) as staging:
        for name in names(earlier) - {NOTES}:
            shutil.copy(earlier / name, staging)
    assert whole(folder) == "earlier"
    assert not left_behind(folder)


def test_a_failure_leaves_nothing(folder: Path, exported: Path) -> None:
    """When the work fails, however far it came, the earlier export is all that is there."""

    def fail() -> None:
        with publishing(folder, []) as staging:
            shutil.copytree(exported, staging, dirs_exist_ok=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert whole(folder) == "earlier"
    assert not left_behind(folder)


def test_nothing_to_finish(folder: Path, tmp_path: Path) -> None:
    """Finishing what was finished changes nothing; nor does it need a folder."""
    finish_publishing(folder)
    assert whole(folder) == "earlier"
    finish_publishing(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["baseline.int8.onnx", MANIFEST])
def test_a_folder_comes_into_the_way(name: str, folder: Path, exported: Path) -> None:
    """A folder that takes a file's name while the work goes on is said, before a file is moved."""
    before = names(folder)

    def publish_into() -> None:
        with publishing(folder, []) as staging:
            shutil.copytree(exported, staging, dirs_exist_ok=True)
            (folder / name).unlink(missing_ok=True)
            (folder / name).mkdir()

    with pytest.raises(OutputError, match=f"'{folder}/{name}': a folder of that name is there"):
        publish_into()
    assert names(folder) == before | {name}


def test_only_its_own_folder(folder: Path, exported: Path, tmp_path: Path) -> None:
    """A manifest that names files elsewhere does not have them removed."""
    (tmp_path / "precious.txt").write_text("mine", "utf-8")
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    manifest["reports"] += ["../precious.txt", str(tmp_path / "precious.txt")]
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    publish(folder, exported)
    assert whole(folder) == "baseline"
    assert (tmp_path / "precious.txt").read_text("utf-8") == "mine"


def test_a_damaged_manifest(folder: Path, exported: Path) -> None:
    """Where nothing tells which files are of the earlier export, they stay."""
    (folder / MANIFEST).write_text("{", "utf-8")
    before = names(folder)
    publish(folder, exported)
    assert names(folder) == before | names(exported)


@pytest.fixture
def exporters(few: Splits, tmp_path: Path) -> Any:
    """Two processes to export a small network with."""
    keras.utils.set_random_seed(0)
    small = [layers.Conv2D(4, 3, strides=2, activation="relu"), layers.Flatten()]
    model = keras.Sequential([keras.Input((28, 28, 1)), *small, layers.Dense(10, "softmax")])
    model.save(tmp_path / "model.keras")
    held_out = few.validation.balanced_sample(100, 0)
    np.savez(tmp_path / "images.npz", images=held_out.images, labels=held_out.labels)
    exporters = [
        Exporter(tmp_path / "model.keras", tmp_path / "images.npz") for _ in range(AT_ONCE)
    ]
    yield exporters
    for exporter in exporters:
        exporter.close()


@pytest.mark.timeout(300)
def test_killed_at_random_moments(exporters: list[Exporter], earlier: Path, tmp_path: Path) -> None:
    """Killed at 20 machine_states, an export leaves the earlier one whole, or one that can be finished.

    The next export succeeds each time, and leaves no trace of the killed one.
    """

    def kill(number: int) -> list[str]:
        exporter, machine_states = exporters[number], random.Random(number)
        folder, found = tmp_path / f"export-{number}", list[str]()
        assert exporter.run(folder) == 0  # waits for the imports too
        start = time.perf_counter()
        assert exporter.run(folder) == 0
        duration = time.perf_counter() - start
        while len(found) < KILLS // AT_ONCE:
            shutil.rmtree(folder)
            shutil.copytree(earlier, folder)
            code = exporter.run(folder, machine_states.uniform(0, duration))
            if code == 0:  # it was done before
                continue
            assert code == -signal.SIGKILL
            ready = (folder / ".fmx-ready").exists()
            finish_publishing(folder)
            found.append(whole(folder))
            assert found[-1] == "later" or not ready
            assert exporter.run(folder) == 0
            assert whole(folder) == "later"
            assert not left_behind(folder)
        return found

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = [name for each in threads.map(kill, range(AT_ONCE)) for name in each]
    assert len(found) == KILLS
    assert "earlier" in found
