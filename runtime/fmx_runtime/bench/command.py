"""``fmx-run bench``: measure models on this machine and write the result as JSON.

Exit codes: 0 all models measured, 1 some models failed, 2 wrong usage, 3 no model measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["bench", "parser"]


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    import argparse

    made = argparse.ArgumentParser(
        prog="fmx-run bench",
        description="Measure accuracy, latency, throughput and memory of models on labeled images.",
        epilog="Compare two results with 'fmx bench compare'.",
    )
    made.add_argument("models", nargs="+", metavar="MODEL", help="a .tflite or .onnx model file")
    made.add_argument(
        "--images",
        required=True,
        metavar="NPZ|DIR",
        help="labeled images: an .npz file with images and labels, or a folder DIR/CLASS/IMAGE",
    )
    made.add_argument(
        "-o",
        "--output",
        default="result.json",
        metavar="FILE",
        help="the result file; default: %(default)s",
    )
    made.add_argument(
        "--repeats",
        type=int,
        default=20,
        metavar="N",
        help="how often to measure each model, each time in a fresh process; default: %(default)s",
    )
    made.add_argument(
        "--iterations",
        type=int,
        default=500,
        metavar="N",
        help="timed predictions of each model in each repeat; default: %(default)s",
    )
    made.add_argument("--resume", action="store_true", help="continue an interrupted benchmark")
    return made


def bench(options: argparse.Namespace, progress: Callable[[str], None]) -> int:
    """Measure the models and write the result.

    Args:
        options: as `parser` returns them.
        progress: called with a line for each step.

    Returns:
        The exit code.

    Raises:
        FmxError: No model can be measured, the images cannot be used, or the result cannot be
            written.
    """
    from fmx_runtime import labeled_images
    from fmx_runtime.bench.build_result import build_result
    from fmx_runtime.bench.models import open_models, select_models
    from fmx_runtime.bench.session import make_settings, open_session
    from fmx_runtime.support.atomic import make_folder, write

    output = Path(options.output)
    settings = make_settings(repeats=options.repeats, iterations=options.iterations)
    images = labeled_images.read(Path(options.images), report=progress)
    models, failures = open_models(map(Path, options.models))
    selection = select_models(models, images, failures, report=progress)
    make_folder(output.parent)
    part = output.with_name(f"{output.name}.part")
    try:
        with open_session(part, selection, settings, resume=options.resume) as session:
            run = session.measure(progress)
            write(output, build_result(selection.labeled, run).to_json() + "\n")
    except KeyboardInterrupt:
        progress(f"interrupted; what was measured is in '{part}': continue with --resume")
        raise
    for failure in run.failures:
        progress(f"'{failure.name}' was not measured: {failure.reason}")
    return 1 if run.failures else 0
