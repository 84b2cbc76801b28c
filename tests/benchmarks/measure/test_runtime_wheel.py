"""The wheel of the installed runtime."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import fmx_runtime
from fmx_benchmarks.measure import runtime_wheel


def test_it_holds_the_installed_files(tmp_path: Path) -> None:
    """Every file of the package is in the wheel, and RECORD has its checksum."""
    source = Path(fmx_runtime.__path__[0])
    with zipfile.ZipFile(runtime_wheel.build(tmp_path)) as wheel:
        names = set(wheel.namelist())
        assert wheel.read("fmx_runtime/classifier.py") == (source / "classifier.py").read_bytes()
        (record,) = (name for name in names if name.endswith("RECORD"))
        rows = [line.split(",") for line in wheel.read(record).decode().splitlines()]
        assert {row[0] for row in rows} == names
        for name, digest, size in rows:
            if name != record:
                content = wheel.read(name)
                hashed = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
                assert digest == f"sha256={hashed.decode()}"
                assert int(size) == len(content)
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert modules <= {name.removeprefix("fmx_runtime/") for name in names}
    assert any(name.endswith("entry_points.txt") for name in names)
    assert not any("__pycache__" in name for name in names)


def test_equal_files_give_equal_bytes(tmp_path: Path) -> None:
    """The wheel depends on nothing but the files."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (runtime_wheel.build(folder).read_bytes() for folder in folders)
    assert first == second
