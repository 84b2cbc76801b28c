from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError
from fmx_training.data import fashion_mnist
from fmx_training.data.fashion_mnist.published_files import FILES

if TYPE_CHECKING:
    from pathlib import Path


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
