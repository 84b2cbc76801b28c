"""``fmx``: parse, call, print. The only place that sees all the rooms.

Results go to stdout, everything else to stderr. Heavy libraries are imported inside the commands
that need them, so that ``fmx --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fmx_runtime.errors import FmxError

__all__ = ["app", "main"]

app = typer.Typer(
    name="fmx",
    help="Train an image classifier, export it to int8 TFLite and ONNX, and measure what came out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: drawing boxes would double the time to answer
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the four Fashion-MNIST files. Default: $FMX_DATA_DIR, or else looked "
        "for in the usual places, and fetched.",
        show_default=False,
    ),
]


def main() -> None:
    """Run the command; an explained failure is one line on stderr and its own exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may not know a label's letters
    try:
        app()
    except FmxError as error:
        print(f"fmx: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # such as a full disk behind '> file'
        print(f"fmx: {error}", file=sys.stderr)
        with contextlib.suppress(ValueError):  # a stream in memory has no descriptor
            # Python would try once more when it ends to write what could not be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def data(
    contact_sheet: Annotated[
        Path | None, typer.Option(help="Draw some pictures of each class into this PNG file.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Show where the data set is, its checksums and its class counts."""
    from fmx_cli.data import show

    show(data_dir, contact_sheet)


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="How to train. Default: baseline.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's own number.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of everything random. Default: 0.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run in -o, or the newest.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Run folder. Default: runs/RECIPE-DATE-TIME."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Train a network and write its run folder."""
    from fmx_cli.train import begin, finish, reopen

    if resume:
        run = reopen(output, recipe, epochs, seed)
    else:
        run = begin(recipe or "baseline", epochs, seed or 0, output, data_dir)
    finish(run, data_dir)


@app.command()
def export(
    run: Annotated[
        Path | None,
        typer.Argument(help="Run folder, or the model.keras in it. Default: the newest in runs/."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Write int8 files too, beside the float ones.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: exports/RECIPE.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Export a trained network to TFLite and ONNX, and verify each file in its real runtime."""
    from fmx_cli.export import export_run

    export_run(run, int8=int8, output=output, data_dir=data_dir)


@app.command()
def bench(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Model files or export folders. Default: the newest in exports/."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: reports/NAME.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Measure accuracy, latency, memory and start-up of model files beside the Keras model."""
    from fmx_cli.bench import bench_files

    bench_files(models or [], output, data_dir)


@app.command()
def demo(
    full: Annotated[
        bool, typer.Option("--full", help="Train for all of the recipe's epochs.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Do it all once: data, train, export --int8, bench, and fmx-run on pictures."""
    from fmx_cli.demo import show

    show(full=full, data_dir=data_dir)
