"""``fmx bench``, and what it says to a command that cannot be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Done = subprocess.CompletedProcess[str]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no exported model in 'exports'"),
        (["nowhere"], "'nowhere' does not exist"),
        (["empty"], "'empty' has no manifest.json: it is no export folder"),
        (["damaged"], "'damaged/manifest.json' is no JSON"),
        (["notes.txt"], "'notes.txt': neither a TFLite nor an ONNX model"),
    ],
)
def test_what_is_no_model(
    words: list[str], message: str, here: Callable[..., Done], tmp_path: Path
) -> None:
    """A wrong path is said in one line with the path."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/manifest.json").write_text("{", "utf-8")
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    done = here("bench", *words)
    assert done.returncode in {1, 3}
    assert not done.stdout
    assert done.stderr.splitlines()[-1].startswith(f"fmx: {message}")
    assert done.stderr.count("fmx: ") == 1
