"""``fmx bench``: measure model files."""

from pathlib import Path
from typing import Annotated

import typer

from fmx_cli.parsing.options import DataDir

__all__ = ["bench"]


def bench(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MODEL",
            help="Model files or export folders. Default: the newest folder in exports/.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="Labeled test images: DIR/CLASS/IMAGE, DIR/test/CLASS/IMAGE, or an .npz file. "
            "Default: the test images of the training run.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ssh://[USER@]HOST[:PORT]",
            help="Also measure on this device, over SSH; may be repeated.",
        ),
    ] = None,
    reference_tools: Annotated[
        bool,
        typer.Option(
            "--reference-tools",
            help="Also measure with litert-benchmark, ONNX Runtime and MLPerf LoadGen.",
        ),
    ] = False,
    repeats: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Number of repeats; the models alternate."),
    ] = 20,
    iterations: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of single-image calls per repeat.")
    ] = 500,
    resume: Annotated[
        bool, typer.Option("--resume", help="Complete an interrupted benchmark.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder. Default: reports/NAME."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Measure accuracy, latency, throughput and memory of models."""
    from fmx_benchmarks.benchmark import BenchOptions
    from fmx_cli.workflows.benchmark import benchmark_files

    options = BenchOptions(
        devices=tuple(device or ()),
        reference_tools=reference_tools,
        repeats=repeats,
        iterations=iterations,
        resume=resume,
    )
    benchmark_files(models or [], options, images=images, output=output, data_dir=data_dir)
