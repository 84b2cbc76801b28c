from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError
from fmx_training.data.class_names import numbered, read_names

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
def test_one_name_a_line(content: str, tmp_path: Path) -> None:
    """Names come in the lines' order, however an editor ended lines and file."""
    path = tmp_path / "labels.txt"
    path.write_bytes(content.encode("utf-8"))
    assert read_names(path) == ("Schuh", "Ärmel", "T-shirt/top")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; write one class name on each line"),
        (b"\xef\xbb\xbf\n \n", "is empty"),
        (b"one\n\nthree\n", "line 2 is empty"),
        (b"one\ntwo\none\n", "line 3 says 'one', as line 1 does"),
        ("Ärmel\n".encode("latin-1"), "is not UTF-8 text: invalid continuation byte at byte 0"),
        (None, "does not exist"),
    ],
    ids=["empty", "white", "gap", "twice", "latin-1", "gone"],
)
def test_what_is_no_list_of_names(content: bytes | None, message: str, tmp_path: Path) -> None:
    """Any other file is refused with its name and the line."""
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"labels.txt' .labels.*{message}"):
        read_names(path)


def test_a_folder(tmp_path: Path) -> None:
    """A folder is no list of names."""
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_names(tmp_path)


def test_numbers() -> None:
    """Where no names are known, classes have their numbers."""
    assert numbered(3) == ("class-0", "class-1", "class-2")
