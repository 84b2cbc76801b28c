from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.classifier import Prediction
from fmx_runtime.command.results import ClassificationResult, encode_json
from fmx_runtime.sources.inputs import InputImage

texts = st.text(st.characters(exclude_categories=[])) | st.just("caf\udce9.png")
predictions = st.builds(Prediction, texts, st.floats(0, 1, width=32))


@given(texts, st.none() | st.integers(0), st.lists(predictions, min_size=1, max_size=4))
def test_json_is_the_record(path: str, frame: int | None, top: list[Prediction]) -> None:
    """The JSON text that is composed for speed equals the encoded record."""
    result = ClassificationResult(InputImage(path, b"", frame), tuple(top))
    assert result.json() == encode_json(result.record())
    assert json.loads(result.json()) == result.record()


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_nan(score: float) -> None:
    """A score that is not finite is never written as JSON."""
    result = ClassificationResult(InputImage("a.png", b""), (Prediction("Bag", score),))
    with pytest.raises(ValueError, match=r"must be finite|not JSON compliant"):
        result.json()
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json(result.record())
