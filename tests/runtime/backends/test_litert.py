from __future__ import annotations

from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tflite

from fmx_runtime.backends.litert import LiteRTBackend

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Splits


def without_last_operator(content: bytes) -> bytes:
    """A TFLite model whose output is its last operator's input."""
    model = tflite.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    graph.outputs = graph.operators.pop().inputs[:1]
    model.signatureDefs = []
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_int8_output(exported: Path, splits: Splits) -> None:
    """A model with int8 output gives the scores of the same model with uint8 output."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    unsigned = LiteRTBackend(content, threads=1, package="ai-edge-litert")
    signed = LiteRTBackend(without_last_operator(content), threads=1, package="ai-edge-litert")
    for tensor in np.split(splits.test.images[:20], 20):
        expected = unsigned.scores(tensor)
        assert signed.scores(tensor) == expected
        assert signed.run(tensor).tolist() == expected
