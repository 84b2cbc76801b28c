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

import numpy as np
import pytest

from fmx_runtime.errors import DataError, OutputError
from fmx_training.data import fashion_mnist
from fmx_training.data.fashion_mnist import download, locate
from fmx_training.data.fashion_mnist.published import FILES

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
    """A public home, as far as fmx can tell."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Truncating(Quiet):
    """A home whose connections break in the middle of a file."""

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


@pytest.fixture
def closed_home() -> str:
    """An address on this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.fixture
def lonely(tmp_path: Path, closed_home: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the data, a network or apt-get; its user's cache folder of fmx."""
    monkeypatch.delenv("FMX_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(locate, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(locate, "SITES", (closed_home,))
    return tmp_path / "xdg" / "fmx"


@pytest.fixture(scope="session")
def published(found: fashion_mnist.Found, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four .gz files exactly as they are published, whoever repacked ours."""
    folder = tmp_path_factory.mktemp("published")
    for file, packed_at in zip(FILES, PACKED_AT, strict=True):
        path = file.in_folder(found.folder)
        packed = path.read_bytes() if path.suffix == ".gz" else gzip.compress(path.read_bytes())
        named = packed[3] & 8
        body = packed[packed.index(b"\0", 10) + 1 if named else 10 :]
        header = b"\x1f\x8b\x08\x08" + struct.pack("<I", packed_at) + b"\0\3"
        (folder / f"{file.name}.gz").write_bytes(header + file.name.encode() + b"\0" + body)
    return folder


@pytest.fixture
def copied(found: fashion_mnist.Found, tmp_path: Path) -> Path:
    """A folder of one's own with the four real files."""
    return Path(shutil.copytree(found.folder, tmp_path / "copied"))


def test_sizes_shapes_and_classes(splits: Splits) -> None:
    """55,000, 5,000 and 10,000 gray images 28x28, and the classes equal in each part."""
    for part, name, each in (
        (splits.train, "train", 5_500),
        (splits.validation, "validation", 500),
        (splits.test, "test", 1_000),
    ):
        assert part.name == f"fashion-mnist {name}"
        assert part.images.shape == (10 * each, 28, 28, 1)
        assert part.class_counts() == dict.fromkeys(fashion_mnist.CLASS_NAMES, each)


def test_images_are_light_on_dark(splits: Splits) -> None:
    """The stated polarity is that of the images: their corners are black."""
    assert fashion_mnist.POLARITY == "light-on-dark"
    assert fashion_mnist.SUBJECT == "garment"
    assert np.median(splits.train.images[:, 0, 0]) == 0
    assert splits.train.images.mean() > 50


def test_the_first_images_are_the_published_ones(splits: Splits) -> None:
    """The test images come in published order: ankle boot, pullover, trouser, trouser, shirt."""
    names = [fashion_mnist.CLASS_NAMES[label] for label in splits.test.labels[:5]]
    assert names == ["Ankle boot", "Pullover", "Trouser", "Trouser", "Shirt"]


def test_the_parts_are_pinned(splits: Splits) -> None:
    """The validation images are the same ones on every machine and in every version."""
    assert splits.train.digest() == (
        "fb3fb28141c26c113708c4c76350f68375a9581f3529dea6c8cf1453bcadf1a1"
    )
    assert splits.validation.digest() == (
        "637746c5956861590ebc92b74e65aa2c0df5ecae6bc0145a3f096b0324d77ae4"
    )
    assert splits.test.digest() == (
        "85ae2febfd2859d87a91eea2a3496ce29716e3962cff2591a7081a39e99810a1"
    )


def test_describe(found: fashion_mnist.Found) -> None:
    """The description has the folder, the four files with sizes and digests, and the counts."""
    facts = fashion_mnist.describe(found)
    assert (facts.folder, facts.how) == (found.folder, found.how)
    assert [file.path.name.removesuffix(".gz") for file in facts.files] == NAMES
    assert [file.sha256 for file in facts.files] == [file.sha256 for file in FILES]
    assert [file.size_bytes for file in facts.files] == [f.path.stat().st_size for f in facts.files]
    assert facts.train_counts == dict.fromkeys(fashion_mnist.CLASS_NAMES, 6_000)
    assert facts.test_counts == dict.fromkeys(fashion_mnist.CLASS_NAMES, 1_000)


def test_the_argument_comes_first(
    lonely: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder given wins over the environment variable and the cache."""
    shutil.copytree(copied, lonely / "fashion-mnist")
    monkeypatch.setenv("FMX_DATA_DIR", "/nowhere")
    assert fashion_mnist.find(copied) == fashion_mnist.Found(copied, "--data-dir")


def test_then_the_environment_variable(
    lonely: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FMX_DATA_DIR wins over the cache; empty, it counts as not set."""
    cache = shutil.copytree(copied, lonely / "fashion-mnist")
    monkeypatch.setenv("FMX_DATA_DIR", str(copied))
    assert fashion_mnist.find() == fashion_mnist.Found(copied, "FMX_DATA_DIR")
    monkeypatch.setenv("FMX_DATA_DIR", "")
    assert fashion_mnist.find().folder == cache


def test_then_cache_package_and_keras(lonely: Path, copied: Path, tmp_path: Path) -> None:
    """The user's cache is searched first, then the Debian package's folder, then Keras' cache."""
    places = {
        "the user's cache": lonely / "fashion-mnist",
        "the Debian package dataset-fashion-mnist": tmp_path / "debian",
        "Keras' cache": tmp_path / "keras" / "datasets" / "fashion-mnist",
    }
    for place in places.values():
        shutil.copytree(copied, place)
    for how, place in places.items():
        assert fashion_mnist.find() == fashion_mnist.Found(place, how)
        shutil.rmtree(place)


@pytest.mark.usefixtures("lonely")
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
    lonely: Path, copied: Path, tmp_path: Path, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named folder without the files is an error, although the cache has them."""
    shutil.copytree(copied, lonely / "fashion-mnist")
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


def test_unpacked_files_are_read_too(splits: Splits, copied: Path) -> None:
    """Files without .gz, or some with and some without, are the same data."""
    for file in FILES[:3]:
        packed = file.in_folder(copied)
        (copied / file.name).write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert fashion_mnist.load(copied).train.digest() == splits.train.digest()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("size", [0, 5, 1_000, -1])
def test_a_truncated_file(copied: Path, packed: bool, size: int) -> None:
    """A file that ends too early, packed or not, is named, with what to do."""
    path = FILES[1].in_folder(copied)
    if not packed:
        content = gzip.decompress(path.read_bytes())
        path.unlink()
        path = copied / FILES[1].name
        path.write_bytes(content)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=f"'{path}' is truncated: .*; delete it .*--data-dir"):
        fashion_mnist.load(copied)


@pytest.mark.parametrize("packed", [True, False])
def test_an_altered_file(copied: Path, packed: bool) -> None:
    """One label changed, in a file that is sound otherwise, is noticed."""
    path = FILES[3].in_folder(copied)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.unlink()
    path = copied / (f"{FILES[3].name}.gz" if packed else FILES[3].name)
    path.write_bytes(gzip.compress(bytes(content)) if packed else content)
    with pytest.raises(DataError, match=f"'{path}' is altered: its SHA-256 is not"):
        fashion_mnist.describe(fashion_mnist.find(copied))


@pytest.mark.parametrize("damage", [b"<html>404</html>", b"\x1f\x8b\x08\0\0\0\0\0\0\3garbage"])
def test_no_gzip_file(copied: Path, damage: bytes) -> None:
    """A web page or rubbish under the file's name is called altered."""
    path = FILES[0].in_folder(copied)
    path.unlink()
    path = path.with_name(f"{FILES[0].name}.gz")
    path.write_bytes(damage)
    with pytest.raises(DataError, match=f"'{path}' is altered: "):
        fashion_mnist.load(copied)


def test_a_longer_file_is_altered(copied: Path) -> None:
    """Bytes after the last label are noticed."""
    path = FILES[1].in_folder(copied)
    content = gzip.decompress(path.read_bytes())
    path.unlink()
    (copied / FILES[1].name).write_bytes(content + b"\0")
    with pytest.raises(DataError, match="altered"):
        fashion_mnist.load(copied)


def test_fetched_from_the_second_home(
    lonely: Path,
    closed_home: str,
    published: Path,
    splits: Splits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where one home does not answer the next one serves; what comes has the published MD5s."""
    for home in serving(published):
        monkeypatch.setattr(locate, "SITES", (closed_home, home))
        found = fashion_mnist.find()
        assert found == fashion_mnist.Found(lonely / "fashion-mnist", f"downloaded from {home}")
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(
        f"{name}.gz" for name in NAMES
    )
    assert [path.name for path in lonely.iterdir()] == ["fashion-mnist"]
    assert fashion_mnist.load().validation.digest() == splits.validation.digest()
    assert fashion_mnist.find().how == "the user's cache"


def test_a_connection_that_breaks(
    lonely: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a file that breaks off stays in the cache, and the reason is told."""
    for home in serving(published, Truncating):
        monkeypatch.setattr(locate, "SITES", (home,))
        with pytest.raises(DataError, match=rf"{home}: {NAMES[0]}\.gz.*(broken|truncated)"):
            fashion_mnist.find()
    assert not list(lonely.iterdir())


def test_a_home_with_an_altered_file(
    lonely: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One altered file of four keeps all four out of the cache."""
    home_folder = shutil.copytree(published, tmp_path / "home")
    (home_folder / f"{NAMES[3]}.gz").write_bytes(gzip.compress(b"something else"))
    for home in serving(home_folder):
        monkeypatch.setattr(locate, "SITES", (home,))
        with pytest.raises(DataError, match=f"{NAMES[3]}.gz arrived truncated or altered"):
            fashion_mnist.find()
    assert not list(lonely.iterdir())


def test_a_home_that_lost_a_file(
    lonely: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home's 404 is told as such."""
    (tmp_path / "home").mkdir()
    for home in serving(tmp_path / "home"):
        monkeypatch.setattr(locate, "SITES", (home,))
        with pytest.raises(DataError, match=rf"{NAMES[0]}\.gz: 404 "):
            fashion_mnist.find()
    assert not list(lonely.iterdir())


@pytest.mark.usefixtures("lonely")
def test_a_home_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that takes the connection and then is silent is given up soon."""
    monkeypatch.setattr(download, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        home = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(locate, "SITES", (home,))
        with pytest.raises(DataError, match=f"{home}: (timed out|no answer)"):
            fashion_mnist.find()


def test_a_cache_with_a_gap_is_filled(
    lonely: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that lacks one file is fetched anew, as a whole."""
    shutil.copytree(published, lonely / "fashion-mnist")
    (lonely / "fashion-mnist" / f"{NAMES[2]}.gz").unlink()
    for home in serving(published):
        monkeypatch.setattr(locate, "SITES", (home,))
        assert fashion_mnist.find().how == f"downloaded from {home}"
    assert len(fashion_mnist.load().test) == 10_000


def test_a_cache_that_cannot_be_made(
    lonely: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the cache's folder must be is an OutputError that names the cache."""
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_the_way))
    with pytest.raises(OutputError, match=f"'{in_the_way}/fmx/fashion-mnist'.*XDG_CACHE_HOME"):
        fashion_mnist.find()
    assert not lonely.exists()


def test_nothing_found(
    lonely: Path, closed_home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error lists every place and every source in order, each with its reason, in one line."""
    (tmp_path / "debian").mkdir()
    monkeypatch.setattr(locate, "SITES", (closed_home, "http://no-such-home.invalid/"))
    with pytest.raises(DataError) as caught:
        fashion_mnist.load()
    message = str(caught.value)
    reasons = [
        f"(1) '{lonely}/fashion-mnist' (the user's cache) does not exist",
        f"(2) '{tmp_path}/debian' (the Debian package dataset-fashion-mnist) has no {NAMES[0]}, ",
        f"(3) '{tmp_path}/keras/datasets/fashion-mnist' (Keras' cache) does not exist",
        f"(4) {closed_home}: Connection refused",
        "(5) http://no-such-home.invalid/: ",
        "(6) the Debian package dataset-fashion-mnist: apt-get and dpkg-deb not found on PATH",
        "with --data-dir or FMX_DATA_DIR",
    ]
    positions = [message.find(reason) for reason in reasons]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert "\n" not in message
    assert not list(lonely.iterdir())


@pytest.fixture
def apt_machine(lonely: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lonely machine with apt-get and its archive; skips where that is out of reach."""
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
    return lonely


@contextlib.contextmanager
def no_root() -> Iterator[Path]:
    """An empty folder of one's own, while this process and all it starts are no root."""
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
def test_out_of_the_debian_package(
    index: str,
    splits: Splits,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without root, and with an empty package index too, the package's files enter the cache."""
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
