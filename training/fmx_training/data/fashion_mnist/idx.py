"""Read IDX files, the format of MNIST, and verify them against published checksums.

An IDX file of bytes has a big-endian header (4 bytes, and 4 for each axis), then the values. The
header is not parsed: a file with the published SHA-256 has the published shape.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["IdxFile", "read_idx"]


@dataclass(frozen=True)
class IdxFile:
    """A published file of unsigned bytes.

    Attributes:
        name: name of the unpacked file.
        shape: shape of the values.
        gz_md5: MD5 (hex) of the file as published, with .gz.
        sha256: SHA-256 (hex) of the unpacked file.
    """

    name: str
    shape: tuple[int, ...]
    gz_md5: str
    sha256: str

    @property
    def header_bytes(self) -> int:
        """Number of bytes before the values."""
        return 4 + 4 * len(self.shape)

    @property
    def size_bytes(self) -> int:
        """Size of the unpacked file."""
        return self.header_bytes + prod(self.shape)

    def in_folder(self, folder: Path) -> Path:
        """Return the file's path in ``folder``: unpacked if it exists, or else with .gz."""
        unpacked = folder / self.name
        return unpacked if unpacked.is_file() else folder / f"{self.name}.gz"


def read_idx(file: IdxFile, path: Path) -> NDArray[np.uint8]:
    """Return the values of a published file: uint8 of its shape, read-only.

    Args:
        file: the published properties of the file.
        path: where it is, packed or not.

    Raises:
        DataError: the file is truncated or altered, or cannot be read.
    """
    problem, content = "", b""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(file.size_bytes + 1)
    except EOFError:
        problem = "truncated: it ends too early"
    except (gzip.BadGzipFile, zlib.error) as error:
        problem = f"altered: {error}"
    except OSError as error:
        raise DataError(
            f"'{path}' cannot be read ({error.strerror}); change its permissions, or give another "
            "folder with --data-dir"
        ) from error
    if not problem and len(content) < file.size_bytes:
        problem = f"truncated: it holds {len(content)} bytes of {file.size_bytes}"
    if not problem and hashlib.sha256(content).hexdigest() != file.sha256:
        problem = "altered: its SHA-256 is not that of the published file"
    if problem:
        raise DataError(
            f"'{path}' is {problem}; delete it so that it is downloaded again, or give a folder "
            "with an intact file with --data-dir"
        )
    return np.frombuffer(content, np.uint8, offset=file.header_bytes).reshape(file.shape)
