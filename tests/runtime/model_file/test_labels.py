from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError
from fmx_runtime.model_file.labels import numbered_labels, read_distinct_labels, read_labels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "content",
    [
        "Schuh\nÄrmel\nT-shirt/top",
        "Schuh\nÄrmel\nT-shirt/top\n\n\n",
        "\ufeffSchuh\r\n Ärmel \r\nT-shirt/top\r\n",
    ],
    ids=["plain", "empty lines at the end", "Windows"],
)
def test_one_name_on_each_line(content: str, tmp_path: Path) -> None:
    """Names keep the lines' order, however an editor ended lines and file."""
    path = tmp_path / "labels.txt"
    path.write_bytes(content.encode("utf-8"))
    assert read_labels(path) == ("Schuh", "Ärmel", "T-shirt/top")


def test_names_may_repeat(tmp_path: Path) -> None:
    """Two classes of an external model may have the same name."""
    path = tmp_path / "labels.txt"
    path.write_text("crane\ncrane\n", "utf-8")
    assert read_labels(path) == ("crane", "crane")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; write one class name on each line"),
        (b"\xef\xbb\xbf\n \n", "is empty"),
        (b"one\n\nthree\n", "line 2 is empty; remove it"),
        ("Ärmel\n".encode("latin-1"), "is not UTF-8 text: invalid continuation byte at byte 0"),
        (None, "does not exist"),
    ],
    ids=["empty", "white space", "gap", "latin-1", "missing"],
)
def test_other_files_are_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    """Any other file is a DataError with its path and the line."""
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"'{path}' (labels)")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is a DataError with the system's message."""
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_labels(tmp_path)


def test_distinct_names(tmp_path: Path) -> None:
    """Where names identify classes, a name that occurs twice is refused with both lines."""
    path = tmp_path / "labels.txt"
    path.write_text("one\ntwo\n", "utf-8")
    assert read_distinct_labels(path) == ("one", "two")
    path.write_text("one\ntwo\none\n", "utf-8")
    with pytest.raises(DataError, match=r"labels.: line 3 repeats 'one' of line 1"):
        read_distinct_labels(path)


def test_numbered_labels() -> None:
    """Where no names are known, classes have numbered names."""
    assert numbered_labels(3) == ("class-0", "class-1", "class-2")
