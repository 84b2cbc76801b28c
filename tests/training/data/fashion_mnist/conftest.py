"""A machine without Fashion-MNIST, and a folder with its files."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_training.data.fashion_mnist import locate

if TYPE_CHECKING:
    from fmx_training.data import fashion_mnist


@pytest.fixture
def closed_site() -> str:
    """An address on this machine without a server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.fixture
def offline(tmp_path: Path, closed_site: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the data, network and apt-get. Returns the user's cache of fmx."""
    monkeypatch.delenv("FMX_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(locate, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(locate, "SITES", (closed_site,))
    return tmp_path / "xdg" / "fmx"


@pytest.fixture
def copied(found: fashion_mnist.Found, tmp_path: Path) -> Path:
    """A copy of the folder with the four real files."""
    return Path(shutil.copytree(found.folder, tmp_path / "copied"))
