"""Writes docs/runtime-speed.md: what the runtime costs beside the bare interpreter.

``make bench-runtime`` runs it, on the newest export and real images of Fashion-MNIST.
"""

# ruff: noqa: INP001, T201, TID253 (a script that prints, no package)

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from fmx_runtime import Classifier
from fmx_runtime.bench.machine import describe
from fmx_runtime.support.atomic import write
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

_DOCUMENT = Path("docs/runtime-speed.md")
_IMAGES = 10_000
_WARM_ROUNDS, _WARM_CALLS, _COLD_ROUNDS, _FOLDER_ROUNDS = 400, 20, 25, 7
_MINIMAL = """
import sys
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
source = interpreter.get_input_details()[0]["index"]
target = interpreter.get_output_details()[0]["index"]
def answer(path):
    pixels = np.asarray(Image.open(path).convert("L")).reshape(1, 28, 28, 1)
    interpreter.set_tensor(source, pixels)
    interpreter.invoke()
    return interpreter.get_tensor(target)
"""
_ONE = f"{_MINIMAL}\nprint(answer(sys.argv[2]).argmax())"
_ALL = f"""{_MINIMAL}
import glob
for path in sorted(glob.glob(sys.argv[2] + '/*.png')):
    print(answer(path).argmax())
"""
_HALVES = f"""
import os
other = os.fork()
{_ALL.replace("'/*.png'", "('/*[02468].png' if other else '/*[13579].png')")}
sys.stdout.flush()
if not other:
    os._exit(0)
os.waitpid(other, 0)
"""


def main() -> None:
    """Measure, and write the document."""
    model = max(Path("exports").glob("*/*.int8.tflite"), key=lambda file: file.stat().st_mtime)
    images = fashion_mnist.load().test.images[:_IMAGES]
    with filter_native_stderr():
        warm = _warm(model, images[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, decoded in enumerate(images[:, :, :, 0]):
            Image.fromarray(decoded).save(folder / f"{index:05}.png")
        image = folder / "00000.png"
        fmx_run = [Path(sys.executable).with_name("fmx-run"), "--model", model]
        cold = _processes(
            {
                "Python alone": [sys.executable, "-c", "pass"],
                "minimal script": [sys.executable, "-c", _ONE, model, image],
                "fmx-run IMAGE": [*fmx_run, image],
            },
            _COLD_ROUNDS,
        )
        many = _processes(
            {
                "bare loop": [sys.executable, "-c", _ALL, model, folder],
                "fmx-run FOLDER": [*fmx_run, "--jsonl", folder],
                "fmx-run FOLDER --threads 2": [*fmx_run, "--jsonl", "--threads", "2", folder],
                "two bare loops, half of them each": [sys.executable, "-c", _HALVES, model, folder],
            },
            _FOLDER_ROUNDS,
        )
    write(_DOCUMENT, _document(warm, cold, many))
    print(f"wrote {_DOCUMENT}")


def _warm(model: Path, pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Seconds of one answer to an array, beside the bare interpreter: medians, taken in turns."""
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    tensor = pixels[np.newaxis]

    def bare() -> None:
        interpreter.set_tensor(source, tensor)
        interpreter.invoke()
        interpreter.get_tensor(target)

    classifier = Classifier(model)
    ways: dict[str, Callable[[], object]] = {
        "set_tensor, invoke, get_tensor": bare,
        "Classifier.classify(array)": lambda: classifier.classify(pixels),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_WARM_ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(_WARM_CALLS):
                way()
            times[name].append((time.perf_counter() - start) / _WARM_CALLS)
    return {name: statistics.median(taken) for name, taken in times.items()}


def _processes(commands: Mapping[str, Sequence[str | Path]], rounds: int) -> dict[str, float]:
    """Seconds of whole processes that write to a file: medians, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    # compiled once, as installed packages are: in the first round, which warms the disk's cache too
    usual = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as answers:
        for number in range(rounds + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(
                    command, check=True, stdout=answers, stderr=subprocess.DEVNULL, env=usual
                )
                if number:
                    times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def _document(
    warm: Mapping[str, float], cold: Mapping[str, float], many: Mapping[str, float]
) -> str:
    machine = describe()
    (bare, classify), (_, minimal, one) = warm.values(), cold.values()
    # the start has a target of its own: what comes after the first image
    loop = many["bare loop"] - minimal
    single, double = (many[name] - one for name in many if name.startswith("fmx-run"))
    targets = [
        ("an array, warm", classify / bare, "at most", 1.2),
        ("one image, a new process", one / minimal, "at most", 1.2),
        ("10,000 PNG files, after the first", loop / single, "at least", 0.9),
        ("the same, two at a time", loop / double, "at least", 1.6),
    ]
    return "\n".join(
        [
            "# The runtime beside the bare interpreter",
            "",
            f"`make bench-runtime` wrote this page, on {machine.processor}, {machine.cores} cores:",
            "the int8 TFLite file of the newest export, real 28x28 images, medians of",
            "measurements taken in turns.",
            "",
            "| what | time (of many: images a second), as a multiple | wanted | |",
            "| --- | ---: | --- | --- |",
            *(
                f"| {what} | {ratio:.3f} | {words} {limit} "
                f"| {'reached' if (ratio <= limit) == (words == 'at most') else 'missed'} |"
                for what, ratio, words, limit in targets
            ),
            "",
            "## Warm: one array of the network's size",
            "",
            "| | µs |",
            "| --- | ---: |",
            *(f"| `{name}` | {seconds * 1e6:.1f} |" for name, seconds in warm.items()),
            "",
            "The difference is the check of the array, a lock, the scores and three labels.",
            "",
            "## Cold: a whole process",
            "",
            "| | ms |",
            "| --- | ---: |",
            *(f"| {name} | {seconds * 1e3:.0f} |" for name, seconds in cold.items()),
            "",
            "The minimal script imports NumPy, Pillow and the interpreter, opens the same file",
            "without checking it, and answers the same image once.",
            "",
            "## Many: 10,000 PNG files, a whole process",
            "",
            "| | s | images/s |",
            "| --- | ---: | ---: |",
            *(
                f"| {name} | {seconds:.2f} | {_IMAGES / seconds:,.0f} |"
                for name, seconds in many.items()
            ),
            "",
            "The bare loop opens each file with Pillow, asks the interpreter and prints a number;",
            "`fmx-run --jsonl` also looks for the files, refuses what is no image, turns",
            "images upright, and writes a line of JSON for each. Two bare loops at once show",
            "what the machine had to give to two processes while it was measured.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
