"""The arguments of ``fmx-run``: the parser, and what options cannot be combined."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["SEGMENT_GARMENT", "parse_arguments"]

SEGMENT_GARMENT = {"auto": None, "always": True, "never": False}
"""The choices of ``--segment-garment``, as `fmx_runtime.Classifier` takes them."""

_HELP_WIDTH = 80  # to find the terminal's width, a module is imported that takes 2 ms each time

_USAGE = """%(prog)s [OPTION ...] IMAGE [IMAGE ...]
       %(prog)s [OPTION ...] --watch DIR | --camera SOURCE
       %(prog)s [OPTION ...] --self-test | --info [MODEL ...]
       %(prog)s bench --images NPZ|DIR MODEL [MODEL ...]"""

_EPILOG = """Without --model, fmx-run takes $FMX_MODEL, or the newest *.int8.tflite file in
the current folder or in exports/*/, or the model that comes with fmx-runtime.
For the options of the benchmark, see 'fmx-run bench --help'.

exit codes:
  0   all images were classified, or all models tested or shown
  1   some images failed, or the results could not be written
  2   wrong usage
  3   the model or its interpreter failed
  130 interrupted by Ctrl-C (143: by SIGTERM); --watch and --camera end with 0"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line.

    Args:
        arguments: of the command line; None for those of this process.

    Raises:
        SystemExit: the arguments are wrong, or ask for help.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["bench"]:
        return _parse_bench_arguments(given[1:])
    parser = _create_parser()
    options = parser.parse_intermixed_args(given)
    if problem := _find_conflict(options):
        parser.error(problem)
    return options


def _parse_bench_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    import argparse

    from fmx_runtime.bench.command import parser

    defaults = argparse.Namespace(watch=None, camera=None, bench=True)
    return parser().parse_args(arguments, defaults)


def _create_parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="fmx-run",
        formatter_class=functools.partial(argparse.RawDescriptionHelpFormatter, width=_HELP_WIDTH),
        usage=_USAGE,
        description="Classify images with a model exported by fmx.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="IMAGE",
        help="a file, a folder, a pattern like 'shop/**/*.jpg', or - to read from the standard "
        "input: an image, or paths, one per line or NUL-separated",
    )
    _add_modes(parser)
    _add_model_options(parser)
    _add_image_options(parser)
    _add_output_options(parser)
    return parser


def _add_modes(parser: argparse.ArgumentParser) -> None:
    modes = parser.add_argument_group("other modes").add_mutually_exclusive_group()
    modes.add_argument("--watch", metavar="DIR", help="classify each new image in a folder")
    modes.add_argument(
        "--camera",
        metavar="SOURCE",
        help="classify each frame of a camera, given by its number or device, or of a video, given "
        "by its file or URL",
    )
    modes.add_argument(
        "--self-test",
        action="store_true",
        help="compare the predictions of each MODEL for its test vectors with those from the "
        "export: exact, within tolerance or wrong",
    )
    modes.add_argument(
        "--info",
        action="store_true",
        help="show the metadata of each MODEL and the interpreter that would run it",
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    from typing import get_args

    from fmx_runtime.backends.base import BackendName

    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="FILE", help="a .tflite or .onnx model file")
    group.add_argument(
        "--backend",
        choices=get_args(BackendName),
        help="the interpreter (default: the first installed one that runs the model)",
    )
    group.add_argument(
        "--labels",
        metavar="FILE",
        help="for an external model: a text file with one class name per line",
    )
    group.add_argument(
        "--input-range",
        choices=("0..1", "-1..1", "0..255"),
        help="for an external model with float input: the values of black and white pixels in the "
        "input tensor, if the file does not state them; write --input-range=-1..1",
    )


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images")
    group.add_argument(
        "--segment-garment",
        choices=SEGMENT_GARMENT,
        default="auto",
        help="for models of garments: whether to segment the garment in an image before it is "
        "classified (default: auto, in photos only)",
    )
    group.add_argument(
        "--save-preprocessed",
        metavar="OUT.png",
        help="save the IMAGE as the model sees it; for one image only",
    )
    group.add_argument(
        "--threads",
        type=_positive_number,
        default=1,
        metavar="N",
        help="number of images to classify in parallel, from files and folders (default: 1)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--top-k",
        type=_positive_number,
        default=1,
        metavar="N",
        help="number of labels per image (default: 1)",
    )
    formats = group.add_mutually_exclusive_group()
    for name, meaning in (
        ("json", "write one JSON array"),
        ("jsonl", "write one JSON object per line"),
        ("csv", "write CSV with a header"),
    ):
        formats.add_argument(
            f"--{name}",
            action="store_const",
            dest="format",
            const=name,
            default="text",
            help=meaning,
        )


def _positive_number(text: str) -> int:
    import argparse

    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not '{text}'")
    return int(text)


def _find_conflict(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the options together, if anything."""
    is_about_models = options.self_test or options.info
    is_live = options.watch is not None or options.camera is not None
    if not (options.files or is_about_models or is_live):
        return "the following arguments are required: IMAGE"
    if is_live and options.files:
        return "--watch and --camera take no IMAGE"
    if options.files.count("-") > 1:
        return "- can be given only once: there is one standard input"
    if (options.input_range and not options.labels) or (options.labels and is_about_models):
        return "--input-range needs --labels; neither applies to --self-test or --info"
    if options.info and options.format == "csv":
        return "--info has no CSV output: use --json or --jsonl"
    if options.save_preprocessed is not None:
        if is_about_models or is_live or len(options.files) > 1:
            return "--save-preprocessed needs exactly one IMAGE"
        if not options.save_preprocessed.lower().endswith(".png"):
            return "--save-preprocessed writes a PNG file: give a name that ends with .png"
    return None
