from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.classifier import Prediction
from fmx_runtime.command.results import Classified
from fmx_runtime.command.writers import encoded
from fmx_runtime.sources.inputs import InputImage

texts = st.text(st.characters(exclude_categories=[])) | st.just("caf\udce9.png")
predictions = st.builds(Prediction, texts, st.floats(0, 1, width=32))


@given(texts, st.none() | st.integers(0), st.lists(predictions, min_size=1, max_size=4))
def test_json_is_the_record(path: str, frame: int | None, top: list[Prediction]) -> None:
    """What is composed for speed is what the general encoder makes of the record."""
    answer = Classified(InputImage(path, b"", frame), tuple(top))
    assert answer.json() == encoded(answer.record())
    assert json.loads(answer.json()) == answer.record()
