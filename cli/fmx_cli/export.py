"""``fmx export``: write verified TFLite and ONNX files."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fmx_cli.parsing.options import DataDir
from fmx_export.pipeline.formats import FLOAT32, INT8, Format

__all__ = ["EPILOG", "export"]

EPILOG = "\b\nFormats:\n" + "\n".join(
    "  " + ", ".join(form for form in Format if form.model_format == model_format)
    for model_format in ("tflite", "onnx")
)
"""Lists the formats without line breaks at their hyphens."""


def export(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="Run folder or Keras model file. Default: the newest run in runs/.",
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write int8 files, TFLite and ONNX.")
    ] = False,
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Format to write, see below; may be repeated. Default: both float32 formats.",
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float,
        typer.Option(
            metavar="POINTS",
            min=0,
            help="Largest accepted loss of accuracy against Keras, in percentage points.",
        ),
    ] = 0.5,
    target: Annotated[
        Literal["auto", "x86-64", "arm64"],
        typer.Option(
            metavar="auto|x86-64|arm64",
            help="Processor to optimize int8 ONNX for; auto is this machine's.",
        ),
    ] = "auto",
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text file with one class name per line. Default: the class folders of "
            "--calibration.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="Calibration and validation images for a model that is not a run: DIR/IMAGE, "
            "DIR/CLASS/IMAGE, DIR/train/CLASS/IMAGE, or an .npz file.",
        ),
    ] = None,
    calibration_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Number of calibration images; the others are for validation. Default: 500.",
        ),
    ] = None,
    input_range: Annotated[
        Literal["auto", "0..1", "-1..1", "0..255"],
        typer.Option(
            metavar="auto|0..1|-1..1|0..255",
            help="Range of the input values the network was trained on; auto infers it from the "
            "model or from labeled images.",
        ),
    ] = "auto",
    allow_code: Annotated[
        bool,
        typer.Option(
            "--allow-code", help="Trust the model file: let it run code and import modules."
        ),
    ] = False,
    layer_report: Annotated[
        bool,
        typer.Option("--layer-report", help="Also write a per-layer quantization error report."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder. Default: exports/NAME."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Export a model to TFLite and ONNX and verify each file."""
    from fmx_cli.workflows.export_model import ExportOptions, ExternalModelOptions, export_model

    chosen = (*(formats or FLOAT32), *(INT8 if int8 else ()))
    options = ExportOptions(
        formats=tuple(dict.fromkeys(chosen)),
        calibration_size=calibration_size,
        max_accuracy_drop=max_accuracy_drop,
        target=target,
        layer_report=layer_report,
        output=output,
    )
    external = ExternalModelOptions(
        labels=labels, calibration=calibration, input_range=input_range, allow_code=allow_code
    )
    export_model(model, options, data_dir=data_dir, external=external)
