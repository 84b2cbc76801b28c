from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError, OutputError
from fmx_training.data import fashion_mnist
from fmx_training.data.fashion_mnist import locate
from fmx_training.data.fashion_mnist.published_files import FILES

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [file.name for file in FILES]


def test_the_argument_comes_first(
    offline: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder given wins over the environment variable and the cache."""
    shutil.copytree(copied, offline / "fashion-mnist")
    monkeypatch.setenv("FMX_DATA_DIR", "/nowhere")
    assert fashion_mnist.find(copied) == fashion_mnist.Found(copied, "--data-dir")


def test_then_the_environment_variable(
    offline: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FMX_DATA_DIR wins over the cache; empty, it counts as not set."""
    cache = shutil.copytree(copied, offline / "fashion-mnist")
    monkeypatch.setenv("FMX_DATA_DIR", str(copied))
    assert fashion_mnist.find() == fashion_mnist.Found(copied, "FMX_DATA_DIR")
    monkeypatch.setenv("FMX_DATA_DIR", "")
    assert fashion_mnist.find().folder == cache


def test_then_cache_package_and_keras(offline: Path, copied: Path, tmp_path: Path) -> None:
    """The user's cache is searched first, then the Debian package's folder, then Keras' cache."""
    places = {
        "the user's cache": offline / "fashion-mnist",
        "the Debian package dataset-fashion-mnist": tmp_path / "debian",
        "Keras' cache": tmp_path / "keras" / "datasets" / "fashion-mnist",
    }
    for place in places.values():
        shutil.copytree(copied, place)
    for how, place in places.items():
        assert fashion_mnist.find() == fashion_mnist.Found(place, how)
        shutil.rmtree(place)


@pytest.mark.usefixtures("offline")
def test_keras_home_is_in_the_home_folder(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without KERAS_HOME, Keras' cache is ~/.keras."""
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = shutil.copytree(copied, tmp_path / "home/.keras/datasets/fashion-mnist")
    assert fashion_mnist.find().folder == expected


@pytest.mark.parametrize("who", ["--data-dir", "FMX_DATA_DIR"])
def test_a_named_folder_is_the_only_one(
    offline: Path, copied: Path, tmp_path: Path, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named folder without the files is an error, although the cache has them."""
    shutil.copytree(copied, offline / "fashion-mnist")
    named = tmp_path / "named"
    monkeypatch.setenv("FMX_DATA_DIR", str(named))
    argument = named if who == "--data-dir" else None
    with pytest.raises(DataError, match=rf"'{named}' \({who}\) does not exist"):
        fashion_mnist.find(argument)
    named.write_bytes(b"")
    with pytest.raises(DataError, match=rf"'{named}' \({who}\) is a file, not a folder"):
        fashion_mnist.find(argument)


def test_one_of_four_is_missing(copied: Path) -> None:
    """The missing file is named."""
    FILES[3].in_folder(copied).unlink()
    with pytest.raises(DataError, match=r"\(--data-dir\) has no t10k-labels-idx1-ubyte, neither"):
        fashion_mnist.load(copied)


def test_a_cache_that_cannot_be_made(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the cache's folder must be is an OutputError that names the cache."""
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_the_way))
    with pytest.raises(OutputError, match=f"'{in_the_way}/fmx/fashion-mnist'.*XDG_CACHE_HOME"):
        fashion_mnist.find()
    assert not offline.exists()


def test_nothing_found(
    offline: Path, closed_site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error lists every place and every source in order, each with its reason, in one line."""
    (tmp_path / "debian").mkdir()
    monkeypatch.setattr(locate, "SITES", (closed_site, "http://no-such-home.invalid/"))
    with pytest.raises(DataError) as caught:
        fashion_mnist.load()
    message = str(caught.value)
    reasons = [
        f"(1) '{offline}/fashion-mnist' (the user's cache) does not exist",
        f"(2) '{tmp_path}/debian' (the Debian package dataset-fashion-mnist) has no {NAMES[0]}, ",
        f"(3) '{tmp_path}/keras/datasets/fashion-mnist' (Keras' cache) does not exist",
        f"(4) {closed_site}: Connection refused",
        "(5) http://no-such-home.invalid/: ",
        "(6) the Debian package dataset-fashion-mnist: apt-get and dpkg-deb not found on PATH",
        "with --data-dir or FMX_DATA_DIR",
    ]
    positions = [message.find(reason) for reason in reasons]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert "\n" not in message
    assert not list(offline.iterdir())
