"""On every device, with every version of Pillow: what the network sees is what it sees on x86."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fmx_runtime import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec


def test_pixels(here: Path, digests: Callable[[Path, InputSpec], dict[str, str]]) -> None:
    """Images of all formats, photos too, become the very same bytes."""
    metadata = Classifier(here / "exported" / "baseline.int8.tflite").metadata
    expected = json.loads((here / "digests.json").read_text("utf-8"))
    found = digests(here, metadata.input)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
