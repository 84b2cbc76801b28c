"""Build a wheel of the installed fmx-runtime, so that a device measures with the same code."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import fmx_runtime

__all__ = ["build"]

_DATE = (1980, 1, 1, 0, 0, 0)  # equal files give equal bytes
_METADATA_FILES = ("METADATA", "WHEEL", "entry_points.txt")


def build(folder: Path) -> Path:
    """Pack the package's files and metadata; needs no network and no build tool.

    Args:
        folder: where the wheel is written.

    Returns:
        The wheel.
    """
    installed = distribution("fmx-runtime")
    stem = f"fmx_runtime-{installed.version}"
    source = Path(fmx_runtime.__path__[0])
    contents = {
        f"fmx_runtime/{path.relative_to(source).as_posix()}": path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in _METADATA_FILES:
        text = installed.read_text(name)
        if text is not None:
            contents[f"{stem}.dist-info/{name}"] = text.encode()
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in contents.items()]
    contents[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return wheel


def _digest(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
