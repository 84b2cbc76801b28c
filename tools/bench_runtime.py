"""Measure the runtime's overhead over the bare interpreter, and write docs/runtime-speed.md.

    python tools/bench_runtime.py

Uses the newest int8 TFLite file in exports/ and images of Fashion-MNIST. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from fmx_runtime import Classifier
from fmx_runtime.bench.machine import describe
from fmx_runtime.support.atomic import make_folder, write
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

DOCUMENT = Path("docs/runtime-speed.md")
_WARM_CALLS = 20
"""Calls that are timed together."""

_MINIMAL_SCRIPT = """
import sys
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
input_index = interpreter.get_input_details()[0]["index"]
output_index = interpreter.get_output_details()[0]["index"]
def predict(path):
    pixels = np.asarray(Image.open(path).convert("L")).reshape(1, 28, 28, 1)
    interpreter.set_tensor(input_index, pixels)
    interpreter.invoke()
    return interpreter.get_tensor(output_index)
"""
_ONE_IMAGE = f"{_MINIMAL_SCRIPT}\nprint(predict(sys.argv[2]).argmax())"
_LOOP = f"""{_MINIMAL_SCRIPT}
import glob
for path in sorted(glob.glob(sys.argv[2] + '/*.png')):
    print(predict(path).argmax())
"""
_TWO_LOOPS = f"""
import os
other = os.fork()
{_LOOP.replace("'/*.png'", "('/*[02468].png' if other else '/*[13579].png')")}
sys.stdout.flush()
if not other:
    os._exit(0)
os.waitpid(other, 0)
"""


@dataclass(frozen=True)
class Times:
    """Medians in seconds, by what was measured.

    Attributes:
        warm: one prediction in a process that is warm.
        cold: a whole process for one image.
        many: a whole process for all images.
    """

    warm: Mapping[str, float]
    cold: Mapping[str, float]
    many: Mapping[str, float]


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--warm-repeats", type=int, default=400)
    parser.add_argument("--cold-repeats", type=int, default=25)
    parser.add_argument("--folder-repeats", type=int, default=7)
    options = parser.parse_args()
    model = max(Path("exports").glob("*/*.int8.tflite"), key=lambda file: file.stat().st_mtime)
    images = fashion_mnist.load().test.images[: options.images]
    with filter_native_stderr():
        warm = measure_warm(model, images[0], options.warm_repeats)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, pixels in enumerate(images[:, :, :, 0]):
            Image.fromarray(pixels).save(folder / f"{index:05}.png")
        cold = measure_cold(model, folder / "00000.png", options.cold_repeats)
        many = measure_folder(model, folder, options.folder_repeats)
    make_folder(DOCUMENT.parent)
    write(DOCUMENT, document(Times(warm, cold, many), len(images)))
    print(f"wrote {DOCUMENT}")


def measure_warm(model: Path, pixels: NDArray[np.uint8], repeats: int) -> dict[str, float]:
    """Measure one prediction from an array: bare interpreter and `Classifier`, in turns."""
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]
    tensor = pixels[np.newaxis]

    def bare() -> None:
        interpreter.set_tensor(input_index, tensor)
        interpreter.invoke()
        interpreter.get_tensor(output_index)

    classifier = Classifier(model)
    functions: dict[str, Callable[[], object]] = {
        "set_tensor, invoke, get_tensor": bare,
        "Classifier.classify(array)": lambda: classifier.classify(pixels),
    }
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(_WARM_CALLS):
                function()
            times[name].append((time.perf_counter() - start) / _WARM_CALLS)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_cold(model: Path, image: Path, repeats: int) -> dict[str, float]:
    """Measure a whole process for one image."""
    commands: dict[str, list[str | Path]] = {
        "Python alone": [sys.executable, "-c", "pass"],
        "minimal script": [sys.executable, "-c", _ONE_IMAGE, model, image],
        "fmx-run IMAGE": [*_fmx_run(model), image],
    }
    return _measure_processes(commands, repeats)


def measure_folder(model: Path, folder: Path, repeats: int) -> dict[str, float]:
    """Measure a whole process for a folder of images."""
    commands: dict[str, list[str | Path]] = {
        "bare loop": [sys.executable, "-c", _LOOP, model, folder],
        "fmx-run FOLDER": [*_fmx_run(model), "--jsonl", folder],
        "fmx-run FOLDER --threads 2": [*_fmx_run(model), "--jsonl", "--threads", "2", folder],
        "two bare loops, half of the images each": [
            sys.executable,
            "-c",
            _TWO_LOOPS,
            model,
            folder,
        ],
    }
    return _measure_processes(commands, repeats)


def _fmx_run(model: Path) -> list[str | Path]:
    return [Path(sys.executable).with_name("fmx-run"), "--model", model]


def _measure_processes(
    commands: Mapping[str, Sequence[str | Path]], repeats: int
) -> dict[str, float]:
    """Measure the durations of processes that write to a file, in turns."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    # with compiled modules, as installed packages have them
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    }
    with tempfile.TemporaryFile() as output:
        for repeat in range(repeats + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(
                    command, check=True, stdout=output, stderr=subprocess.DEVNULL, env=environment
                )
                if repeat:  # the first one compiles modules and warms the disk's cache
                    times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def document(times: Times, images: int) -> str:
    """Return the page."""
    machine = describe()
    bare, classify = times.warm.values()
    _, minimal, one = times.cold.values()
    # starting a process has a target of its own, so the first image is not counted here
    loop = times.many["bare loop"] - minimal
    single, double = (times.many[name] - one for name in times.many if name.startswith("fmx-run"))
    targets = [
        ("time of one array, warm", classify / bare, "at most", 1.2),
        ("time of one image in a new process", one / minimal, "at most", 1.2),
        (f"images per second, {images:,} PNG files", loop / single, "at least", 0.9),
        ("the same with two threads", loop / double, "at least", 1.6),
    ]
    return TEMPLATE.format(
        processor=machine.processor,
        cores=machine.cores,
        images=images,
        targets="\n".join(
            f"| {name} | {ratio:.3f} | {words} {limit} "
            f"| {'yes' if (ratio <= limit) == (words == 'at most') else 'no'} |"
            for name, ratio, words, limit in targets
        ),
        warm="\n".join(f"| `{name}` | {value * 1e6:.1f} |" for name, value in times.warm.items()),
        cold="\n".join(f"| {name} | {value * 1e3:.0f} |" for name, value in times.cold.items()),
        many="\n".join(
            f"| {name} | {value:.2f} | {images / value:,.0f} |"
            for name, value in times.many.items()
        ),
        note=_TWO_LOOPS_NOTE,
    )


TEMPLATE = """# Overhead of the runtime over the bare interpreter

Written by `make bench-runtime`, on {processor}, {cores} cores, with the int8 TFLite file of the
newest export and real 28x28 images. The figures are medians; the measurements alternate.

| figure, as a ratio of the runtime to the bare interpreter | ratio | target | met |
| --- | ---: | --- | --- |
{targets}

## Warm: one array of the network's size

| | µs |
| --- | ---: |
{warm}

The difference is the check of the array, a lock, and the scores of the three best labels.

## Cold: a whole process

| | ms |
| --- | ---: |
{cold}

The minimal script imports NumPy, Pillow and the interpreter, opens the same file without checking
it, and classifies the same image once.

## Many images: a whole process for {images:,} PNG files

| | s | images/s |
| --- | ---: | ---: |
{many}

The bare loop opens each file with Pillow, runs the interpreter and prints a number.
`fmx-run --jsonl` also searches the folder, checks the limits of the image formats, applies the EXIF
orientation, and writes one JSON object per image.
{note}"""

_TWO_LOOPS_NOTE = """
Two bare loops at once show how much two processes could do on this machine during the measurement.
"""


if __name__ == "__main__":
    main()
