from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import logging
import os
import platform
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError
from fmx_training.data import fashion_mnist
from fmx_training.data.fashion_mnist import download, locate
from fmx_training.data.fashion_mnist.published_files import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_training.data.dataset import Splits

NAMES = [file.name for file in FILES]
# what the published .gz files say about when they were packed, in seconds since 1970
PACKED_AT = (1504176606, 1504176606, 1504176627, 1504176627)

# as they were before the tests that take them away
PATH = os.environ["PATH"]
DEBIAN_FOLDER = locate.DEBIAN_FOLDER
APT_HELPER = "/usr/lib/apt/apt-helper"
NOBODY = 65534  # the user and the group that own nothing

needs_apt = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")),
    reason="no Debian-family machine: apt-get or dpkg-deb is not on PATH",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web site that serves a folder."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no log."""


class Truncating(Quiet):
    """A site whose connections break in the middle of a file."""

    def copyfile(self, source: object, outputfile: object) -> None:
        """Send a hundred bytes of those announced."""
        outputfile.write(source.read(100))  # type: ignore[attr-defined]


def serving(folder: Path, handler: type[Quiet] = Quiet) -> Iterator[str]:
    """Serve ``folder`` on a free port; the address, with its last slash."""
    address = ("127.0.0.1", 0)
    with http.server.ThreadingHTTPServer(
        address, functools.partial(handler, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def published(found: fashion_mnist.Found, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four .gz files as published, even if ours were compressed again."""
    folder = tmp_path_factory.mktemp("published")
    for file, packed_at in zip(FILES, PACKED_AT, strict=True):
        path = file.in_folder(found.folder)
        packed = path.read_bytes() if path.suffix == ".gz" else gzip.compress(path.read_bytes())
        named = packed[3] & 8
        body = packed[packed.index(b"\0", 10) + 1 if named else 10 :]
        header = b"\x1f\x8b\x08\x08" + struct.pack("<I", packed_at) + b"\0\3"
        (folder / f"{file.name}.gz").write_bytes(header + file.name.encode() + b"\0" + body)
    return folder


def test_downloaded_from_the_second_site(
    offline: Path,
    closed_site: str,
    published: Path,
    splits: Splits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a site does not respond, the next one is tried; files have the published MD5s."""
    for site in serving(published):
        monkeypatch.setattr(locate, "SITES", (closed_site, site))
        found = fashion_mnist.find()
        assert found == fashion_mnist.Found(offline / "fashion-mnist", f"downloaded from {site}")
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(
        f"{name}.gz" for name in NAMES
    )
    assert [path.name for path in offline.iterdir()] == ["fashion-mnist"]
    assert fashion_mnist.load().validation.digest() == splits.validation.digest()
    assert fashion_mnist.find().how == "the user's cache"


def test_a_connection_that_breaks(
    offline: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a file that breaks off stays in the cache, and the reason is reported."""
    for site in serving(published, Truncating):
        monkeypatch.setattr(locate, "SITES", (site,))
        with pytest.raises(DataError, match=rf"{site}: {NAMES[0]}\.gz.*(broken|truncated)"):
            fashion_mnist.find()
    assert not list(offline.iterdir())


def test_a_site_with_an_altered_file(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One altered file of four keeps all four out of the cache."""
    site_folder = shutil.copytree(published, tmp_path / "site")
    (site_folder / f"{NAMES[3]}.gz").write_bytes(gzip.compress(b"something else"))
    for site in serving(site_folder):
        monkeypatch.setattr(locate, "SITES", (site,))
        with pytest.raises(DataError, match=f"{NAMES[3]}.gz arrived truncated or altered"):
            fashion_mnist.find()
    assert not list(offline.iterdir())


def test_a_site_that_lost_a_file(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 404 of a site is reported."""
    (tmp_path / "site").mkdir()
    for site in serving(tmp_path / "site"):
        monkeypatch.setattr(locate, "SITES", (site,))
        with pytest.raises(DataError, match=rf"{NAMES[0]}\.gz: 404 "):
            fashion_mnist.find()
    assert not list(offline.iterdir())


@pytest.mark.usefixtures("offline")
def test_a_site_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that accepts the connection and sends nothing is given up soon."""
    monkeypatch.setattr(download, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(locate, "SITES", (site,))
        with pytest.raises(DataError, match=f"{site}: (timed out|no response)"):
            fashion_mnist.find()


def test_a_cache_with_a_gap_is_filled(
    offline: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that lacks one file is downloaded again, as a whole."""
    shutil.copytree(published, offline / "fashion-mnist")
    (offline / "fashion-mnist" / f"{NAMES[2]}.gz").unlink()
    for site in serving(published):
        monkeypatch.setattr(locate, "SITES", (site,))
        assert fashion_mnist.find().how == f"downloaded from {site}"
    assert len(fashion_mnist.load().test) == 10_000


@pytest.fixture
def apt_machine(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The offline machine with apt-get and its archive; skipped if that cannot be reached."""
    monkeypatch.setenv("PATH", PATH)
    monkeypatch.setattr(locate, "DEBIAN_FOLDER", DEBIAN_FOLDER)
    monkeypatch.setattr(locate, "_places", list)  # the package may be installed here
    monkeypatch.setattr(locate, "SITES", ())
    own = f"/dists/{platform.freedesktop_os_release().get('VERSION_CODENAME')}/"
    asked = ["apt-get", "update", "--print-uris"]
    uris = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("'")
    release = next((uri for uri in uris if own in uri), "nowhere")
    fetched = [APT_HELPER, "-o", "Acquire::Retries=0", "download-file", release]
    if subprocess.run([*fetched, tmp_path / "release"], check=False).returncode:
        pytest.skip(f"the package archive is out of reach: {release}")
    return offline


@contextlib.contextmanager
def no_root() -> Iterator[Path]:
    """Run as another user than root, with an empty folder that this user owns."""
    me, group, groups = os.getuid(), os.getgid(), os.getgroups()
    with tempfile.TemporaryDirectory() as folder:
        if me != 0:
            yield Path(folder)
            return
        os.chown(folder, NOBODY, NOBODY)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, 0)
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield Path(folder)
        finally:
            os.setresuid(me, me, me)
            os.setresgid(group, group, group)
            os.setgroups(groups)


@needs_apt
@pytest.mark.usefixtures("apt_machine")
@pytest.mark.parametrize("index", ["the machine's", "empty"])
def test_downloaded_from_the_debian_package(
    index: str,
    splits: Splits,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The package is downloaded without root, even if the package index is empty."""
    caplog.set_level(logging.INFO)
    with no_root() as folder:
        if index == "empty":
            configuration = folder / "apt.conf"
            configuration.write_text(f'Dir::State::Lists "{folder}/lists";\n', "utf-8")
            (folder / "lists").mkdir()
            monkeypatch.setenv("APT_CONFIG", str(configuration))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "xdg"))
        cache = folder / "xdg/fmx" / fashion_mnist.NAME
        found = fashion_mnist.find()
        assert found == fashion_mnist.Found(
            cache, "downloaded from the Debian package dataset-fashion-mnist"
        )
        assert fashion_mnist.read(found).train.digest() == splits.train.digest()
        assert len(list(cache.iterdir())) == len(FILES)
        assert [path.name for path in cache.parent.iterdir()] == [cache.name]
        assert cache.stat().st_uid == os.getuid() != 0
    if index == "empty":
        assert "trying again with a new package index" in caplog.text
