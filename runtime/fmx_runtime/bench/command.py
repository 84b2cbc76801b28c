"""``fmx-run bench``: measure models on this machine, and write what was measured as JSON.

Exit codes: 0 all measured, 1 some models failed, 2 usage, 3 none could be measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["bench", "parser"]


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    import argparse

    made = argparse.ArgumentParser(
        prog="fmx-run bench",
        description="Measure models on labeled images: accuracy, times, throughput, memory.",
        epilog="The JSON can be read beside others with 'fmx bench compare'.",
    )
    made.add_argument("models", nargs="+", metavar="MODEL", help="a .tflite or .onnx model")
    made.add_argument(
        "--images",
        required=True,
        metavar="NPZ|DIR",
        help="an .npz file with images and labels, or a folder with one of images for each class",
    )
    made.add_argument(
        "-o", "--output", default="result.json", metavar="FILE", help="default: %(default)s"
    )
    made.add_argument("--repeats", type=int, default=20, help="default: %(default)s")
    made.add_argument(
        "--iterations", type=int, default=500, help="in each round; default: %(default)s"
    )
    made.add_argument("--resume", action="store_true", help="finish an interrupted benchmark")
    return made


def bench(options: argparse.Namespace, progress: Callable[[str], None]) -> int:
    """Measure, and write the result.

    Args:
        options: as `parser` gives them.
        progress: called with a line for each step.

    Returns:
        The exit code.

    Raises:
        FmxError: none of the models can be measured, the images cannot be used, or the result
            cannot be written.
    """
    from fmx_runtime import labeled_images
    from fmx_runtime.bench import session
    from fmx_runtime.bench.journal import Journal
    from fmx_runtime.support.atomic import make_folder, write

    output = Path(options.output)
    images = labeled_images.read(Path(options.images))
    how = session.settings(rounds=options.repeats, calls=options.iterations)
    models, failures, class_names = session.choose(map(Path, options.models), images)
    make_folder(output.parent)
    part = output.with_name(f"{output.name}.part")
    journal = Journal(part, session.conditions(models, images, how), resume=options.resume)
    finished = False
    try:
        done = session.run(models, images, how, journal, failures=failures, progress=progress)
        write(output, session.result(images, done, class_names).to_json() + "\n")
        finished = True
    except KeyboardInterrupt:
        progress(f"interrupted; what was measured is in '{part}': --resume goes on")
        raise
    finally:
        journal.close(finished=finished)
    for failure in done.failures:
        progress(f"'{failure.name}' was not measured: {failure.reason}")
    return 1 if done.failures else 0
