"""The tables that ``fmx inspect`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_cli.output.inspection import print_inspection
from fmx_export.common.graph import Graph, Tensor, Totals
from fmx_export.pipeline.inspect import Inspection, inspect_file
from fmx_runtime.model_file.metadata import Accuracy, InputSpec, ModelMetadata, Provenance

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Completed = subprocess.CompletedProcess[str]

FILES = [
    f"baseline.{precision}.{form}"
    for precision in ("float32", "int8")
    for form in ("tflite", "onnx")
]


@pytest.mark.parametrize("file", FILES)
def test_facts(file: str, fmx_in_process: Callable[..., Completed], exported: Path) -> None:
    """The metadata, each operator and the totals are printed, in 80 columns if piped."""
    done = fmx_in_process("inspect", exported / file)
    assert done.returncode == 0
    assert not done.stderr
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    words = " ".join(done.stdout.split())
    # int8 ONNX has 32 kernels of 3x3 spread over blocks: 4 x 32 of 2x2x4, at 13x13 places
    in_blocks = file == "baseline.int8.onnx"
    parameters = "226,890" if in_blocks else "225,034"
    products = "2,782,464" if in_blocks else "2,631,040"
    inspection = inspect_file(exported / file)
    metadata, totals = inspection.metadata, inspection.graph.totals
    assert metadata is not None
    assert metadata.accuracy is not None
    accuracy = metadata.accuracy
    for fact in (
        f"{metadata.precision}, {inspection.size_bytes:,} bytes",
        "checksum matches: the file is as it was exported",
        f"input {metadata.input.dtype} 1x28x28x1",
        "0.00392157 * pixel",
        "gray 28x28",
        "probabilities of 10 classes",
        ", ".join(metadata.labels),
        f"{accuracy.file:.2%} on {accuracy.size:,} images of {accuracy.data}",
        f"Keras {accuracy.keras:.2%}",
        "recipe baseline, seed 0",
        f"all {totals.operators} operators {parameters} {products} {totals.weight_bytes:,}",
    ):
        assert fact in words
    for operator in inspection.graph.operators:
        assert any(line.split()[:2] == [str(operator.index), operator.type] for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in words.partition("% of")[2]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("baseline.int8.tflite", "no float operators"),
        ("baseline.int8.onnx", "float operators: Softmax (44)"),
        ("baseline.float32.onnx", None),
    ],
)
def test_float_operators(
    file: str, said: str | None, fmx_in_process: Callable[..., Completed], exported: Path
) -> None:
    """Of quantized files, and of those only, the last line names the float operators."""
    done = fmx_in_process("inspect", exported / file)
    assert ("float operator" in done.stdout) == (said is not None)
    if said:
        assert done.stdout.splitlines()[-1] == said


def test_no_metadata(
    fmx_in_process: Callable[..., Completed], exported: Path, tmp_path: Path
) -> None:
    """For another tool's file the graph is printed, and that it has no metadata; no error."""
    whole = (exported / "baseline.int8.tflite").read_bytes()
    metadata = inspect_file(exported / "baseline.int8.tflite").metadata
    assert metadata is not None
    (tmp_path / "mine.tflite").write_bytes(whole[: metadata.model_bytes])
    done = fmx_in_process("inspect", "mine.tflite")
    assert done.returncode == 0
    assert "no model metadata" in done.stdout
    assert "FULLY_CONNECTED" in done.stdout
    assert done.stdout.endswith("no float operators\n")


@pytest.fixture
def inspection() -> Inspection:
    """A file with 30 labels and one output, and with what a damaged file may hold as a name."""
    spec = InputSpec(
        height=8,
        width=10,
        channels=3,
        dtype="uint8",
        scale=0.5,
        offset=-1.0,
        resize="stretch",
        polarity="any",
        subject="garment",
    )
    provenance = Provenance(
        recipe="photo",
        seed=3,
        data="pets [train]",
        data_digest="1" * 64,
        keras_digest="2" * 64,
        commit="unknown",
        versions={},
    )
    metadata = ModelMetadata(
        name="pets\x1b[31m",
        precision="float32",
        labels=tuple(f"pet{number}" for number in range(30)),
        input=spec,
        output="logits",
        provenance=provenance,
        accuracy=Accuracy(keras=None, file=None, agreement=0.5, data="photos", size=1234),
    )
    output = Tensor(name="out", shape=(None, 30), dtype="float32", quantization=None)
    totals = Totals(
        operators=0,
        parameters=0,
        multiply_accumulates=0,
        weight_bytes=0,
        file_share=0,
        float_operators=0,
    )
    return Inspection(
        file="pets.onnx",
        size_bytes=4321,
        status="intact",
        problem=None,
        metadata=metadata,
        graph=Graph(format="onnx", inputs=(), outputs=(output,), operators=(), totals=totals),
    )


def test_unusual_metadata(inspection: Inspection, capsys: pytest.CaptureFixture[str]) -> None:
    """Unlabeled accuracy, many labels, uint8 input and names from outside are printed plainly."""
    print_inspection(inspection)
    printed = capsys.readouterr().out
    words = " ".join(printed.split())
    assert "pet18, pet19, … model" in words
    assert "pet20" not in words
    assert "float32 ?x30" in words
    assert "logits of 30 classes" in words
    assert "unknown; agrees with Keras for 50.00% of 1,234 images of photos" in words
    assert "pixels as they are, which stand for 0.5 * pixel - 1" in words
    assert "in photos the garment is segmented" in words
    assert "recipe photo, seed 3, pets [train]" in words
    assert "versions unknown" in words
    assert "pets\ufffd[31m" in words
    assert "\x1b" not in printed
    assert "float operator" not in words
