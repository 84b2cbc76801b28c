"""Provenance of exported files."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from fmx_export.pipeline import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.run_folder import Run

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not on PATH")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder with a fixed author, and return its output."""
    author = ["-c", "user.name=A", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_versions() -> None:
    """There are versions of TensorFlow, Keras, both converters and fmx itself."""
    versions = provenance.versions()
    assert {"fmx-toolkit", "keras", "numpy", "onnx", "onnxruntime", "tf2onnx"} <= set(versions)
    assert set(versions) & {"tensorflow", "tensorflow-cpu"}
    assert versions["keras"] == keras.__version__
    assert all(version[0].isdigit() for version in versions.values())


@needs_git
def test_commit_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of a repository, the commit is git's HEAD."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "first")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert provenance.commit() == git(tmp_path, "rev-parse", "HEAD")


@needs_git
def test_unknown_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a repository, before its first commit and without git, the commit is unknown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == "unknown"
    git(tmp_path, "init", "--quiet")
    assert provenance.commit() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() == "unknown"


def test_weights_digest(finished: Run) -> None:
    """A model that is loaded again has the same digest; one changed weight gives another."""
    model, again = (keras.models.load_model(finished.model_path, compile=False) for _ in range(2))
    digest = provenance.weights_digest(model)
    assert provenance.weights_digest(again) == digest
    weights = again.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], np.float32(1))
    again.set_weights(weights)
    assert provenance.weights_digest(again) != digest
