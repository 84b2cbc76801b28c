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
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from fmx_export.pipeline.formats import FLOAT32, INT8, Format
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
    # which TensorFlow takes of itself only where there is AVX-512: a quarter less time to train
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may not know a label's letters
    try:
        app(prog_name="fmx")  # however it was started
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
        Path | None, typer.Option(help="Draw some images of each class into this PNG file.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Show where the data set is, its checksums and its class counts."""
    from fmx_cli.data import show

    show(data_dir, contact_sheet)


@app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", help="How to train. Default: edge, or what fits --data."),
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
    data: Annotated[
        Path | None,
        typer.Option(help="Your own images, DIR/train/CLASS/IMAGE. Default: Fashion-MNIST."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=8, help="Height and width that they get. Default: 64; backbones 128."),
    ] = None,
    segment_garment: Annotated[
        bool,
        typer.Option("--segment-garment", help="They are photos of garments: cut those out first."),
    ] = False,
    backbone: Annotated[
        str | None, typer.Option(help="Network of keras.applications to train on them.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="What it starts with: imagenet, none, or a file. Default: imagenet."),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Photos of clothes to learn from beside Fashion-MNIST."),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(help="Finished run whose answers are learnt as well; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Train a network and write its run folder."""
    from fmx_cli.train import train_network
    from fmx_training.options import TrainOptions

    options = TrainOptions(
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        output=output,
        data_dir=data_dir,
        photos=photos,
        teachers=tuple(teacher or ()),
        data=data,
        image_size=image_size,
        segment_garment=segment_garment,
        backbone=backbone,
        weights=weights,
    )
    train_network(options, resume=resume)


@app.command()
def export(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder, or any Keras image classifier as a file. Default: the newest run in "
            "runs/."
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Write int8 files too, beside the float ones.")
    ] = False,
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            help="Write this kind of file; may be repeated. Default: both float32 ones.",
            show_default=False,
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float,
        typer.Option(
            min=0,
            help="Largest loss of accuracy against Keras, in percentage points, with which a file "
            "is published.",
        ),
    ] = 0.5,
    target: Annotated[
        Literal["auto", "x86-64", "arm64"],
        typer.Option(help="Processor that int8 ONNX is for; auto is this machine's."),
    ] = "auto",
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the classes, one a line. Default: the names of the folders in "
            "--calibration.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|NPZ",
            help="Images for a model that is no run: a folder of them, or of one folder for each "
            "class, or an .npz file with images and labels.",
            show_default=False,
        ),
    ] = None,
    calibration_size: Annotated[
        int | None,
        typer.Option(min=1, help="How many images calibrate; the others check. Default: 500."),
    ] = None,
    input_range: Annotated[
        Literal["auto", "0..1", "-1..1", "0..255"],
        typer.Option(
            help="Values that the network was trained to see. Default: what fits the model and the "
            "labeled images."
        ),
    ] = "auto",
    allow_code: Annotated[
        bool,
        typer.Option(
            "--allow-code", help="Trust the model file: run code in it, import modules it names."
        ),
    ] = False,
    layer_report: Annotated[
        bool,
        typer.Option("--layer-report", help="Write what each layer of the int8 files loses, too."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: exports/NAME.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Export a trained network to TFLite and ONNX, and verify each file in its real runtime."""
    from fmx_cli.export import Wanted, export_model
    from fmx_cli.external_model import External

    chosen = (*(formats or FLOAT32), *(INT8 if int8 else ()))
    wanted = Wanted(
        formats=tuple(dict.fromkeys(chosen)),
        calibration_size=calibration_size,
        max_accuracy_drop=max_accuracy_drop,
        target=target,
        debug=layer_report,
        output=output,
    )
    external = External(
        labels=labels, calibration=calibration, pixels=input_range, allow_code=allow_code
    )
    export_model(model, wanted, data_dir=data_dir, external=external)


@app.command()
def inspect(
    model: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .tflite or .onnx file, of fmx or not.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what a model file says of itself: its metadata, its operators, and what they cost."""
    from fmx_cli.inspect import show

    show(model, json=json)


class _MeasuresByDefault(TyperGroup):
    """``fmx bench MODELS`` is what ``fmx bench run MODELS`` would be."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["compare"] else ["run", *args])


_bench = typer.Typer(cls=_MeasuresByDefault, rich_markup_mode=None)
app.add_typer(_bench, name="bench", help="Measure model files, on this machine and on devices.")


@_bench.command("run", hidden=True, epilog="'fmx bench compare -h' tells how to compare results.")
def bench(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Model files or export folders. Default: the newest in exports/."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="NPZ|DIR",
            help="Labeled images: an .npz file with images and labels, or a folder with one "
            "folder for each class. Default: Fashion-MNIST's test images.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ssh://[USER@]HOST[:PORT]",
            help="Measure there too, with ssh; may be repeated.",
            show_default=False,
        ),
    ] = None,
    reference_tools: Annotated[
        bool,
        typer.Option(
            "--reference-tools",
            help="Measure with others' tools too: litert-benchmark, onnxruntime alone, LoadGen.",
        ),
    ] = False,
    repeats: Annotated[int, typer.Option(min=1, help="How often the models take turns.")] = 20,
    iterations: Annotated[int, typer.Option(min=1, help="Single images in each round.")] = 500,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish an interrupted benchmark.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: reports/NAME.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Measure accuracy, latency, throughput, memory and start of model files, beside Keras."""
    from fmx_cli.bench import Wanted, bench_files

    wanted = Wanted(
        images=images,
        devices=tuple(device or ()),
        peers=reference_tools,
        rounds=repeats,
        calls=iterations,
        resume=resume,
    )
    bench_files(models or [], output, data_dir, wanted)


@_bench.command()
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="A result.json of before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="One of now.")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR",
            help="Exit with 1 if this is so, beyond noise: 'latency_p50 > +10%', "
            "'accuracy < -0.2'; may be repeated.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show what changed between two results, how sure that is, and fail where it is too much."""
    from fmx_cli.compare import compare_files

    compare_files(old, new, fail_if or [])


@app.command()
def demo(
    full: Annotated[
        bool, typer.Option("--full", help="Train for all of the recipe's epochs.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Do it all once: data, train, export --int8, bench, and fmx-run on images."""
    from fmx_cli.demo import show

    show(full=full, data_dir=data_dir)
