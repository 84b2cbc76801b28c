"""Measure the trained models in training/trained, and write docs/models/NAME.md for each recipe.

    python tools/model_cards.py exports/baseline/baseline.float32.tflite [PHOTOS]

Times are against the float file that is named, in turns; those that a card has from other kinds of
processors stay. PHOTOS is a folder of photos of clothes, one folder for each kind, on which
nothing was trained. Wants a quiet machine.
"""
# ruff: noqa: INP001, T201 (a program that writes pages)

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from photo_accuracy import accuracy  # the tool beside this one

from fmx_benchmarks.statistics.accuracy import proportion
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime import Classifier
from fmx_runtime.bench.result import Result
from fmx_runtime.labeled_images import image_files
from fmx_runtime.support.atomic import make_folder, write
from fmx_training import recipes
from fmx_training.data import fashion_mnist
from fmx_training.data.clothing_photos import KINDS
from fmx_training.loop.evaluate import Evaluation, confused_pairs, in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TRAINED = Path("training/trained")
DOCUMENTS = Path("docs/models")
PURPOSES: Mapping[str, str] = {
    "nano": "fits a microcontroller's flash beside the program",
    "edge": "comes with fmx-runtime, and is what `fmx train` trains where no recipe is named",
    "max": "is for accuracy, where an image may take milliseconds, and teaches the others",
}


@dataclass(frozen=True)
class Trained:
    """One seed of a recipe: its folder and what its int8 file says to the test images."""

    folder: Path
    file: Path
    called: NDArray[np.int64]
    validated: float
    """Accuracy on the validation images, as the file says itself."""

    @property
    def seed(self) -> int:
        """Of everything random in its training."""
        return int(_info(self.folder)["seed"])


def main(float_file: Path, photos: Path | None) -> None:
    """Measure everything, write all cards."""
    test = fashion_mnist.load().test
    seeds = {name: _trained(name, test.images) for name in PURPOSES}
    speeds = _speeds(float_file, [_best(some).file for some in seeds.values() if some])
    make_folder(DOCUMENTS)
    for name, some in seeds.items():
        if some:
            document = DOCUMENTS / f"{name}.md"
            times = _times(document, *speeds[_best(some).file.name])
            write(document, _card(name, some, test.labels, times, photos))
            print(f"wrote {document}")


def _best(some: Sequence[Trained]) -> Trained:
    """The seed that the card is about; for edge, the one that comes with the runtime."""
    return max(some, key=lambda one: one.validated)


def _trained(name: str, images: NDArray[np.uint8]) -> list[Trained]:
    found = []
    for folder in sorted(TRAINED.glob(f"{name}-*")):
        file = folder / f"{name}.int8.tflite"
        classifier = Classifier(file)
        called, known = classifier.predict(images).argmax(axis=1), classifier.card.accuracy
        found.append(Trained(folder, file, called, known.file if known else 0.0))
    return found


def _speeds(float_file: Path, files: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """By file name, on what processor it takes how long beside the float file, in words."""
    with tempfile.TemporaryDirectory() as name:
        command = [Path(sys.executable).with_name("fmx"), "bench", float_file, *files]
        subprocess.run([*command, "-o", name], check=True, stdout=subprocess.DEVNULL)
        result = Result.from_json(Path(name, "result.json").read_text("utf-8"))
    analysis, machine = Analysis(result, result.runs[0]), result.runs[0].machine
    variants = {variant.name: variant for variant in analysis.variants}
    reference = variants.pop(float_file.name)
    instructions = ", ".join(machine.int8_instructions) or "no int8 instructions"
    words = {}
    for name, variant in variants.items():
        own, other = (analysis.latency_us(one, 50) for one in (variant, reference))
        speed = analysis.speedup(variant, reference)
        time = (
            f"{own:.1f} µs, where `{float_file.name}` takes {other:.1f} µs: "
            f"{speed.value:.2f} times as fast ({speed.low:.2f} to {speed.high:.2f}; one thread)"
        )
        words[name] = f"{machine.processor}, {instructions}", time
    return words


def _times(document: Path, processor: str, time: str) -> str:
    """The card's rows about time: this processor's, and what the card has of others."""
    text = document.read_text("utf-8") if document.exists() else ""
    rows = dict(re.findall(r"^\| p50 of one image, (.+?) \| (.+) \|$", text, re.MULTILINE))
    rows[processor] = time
    return "\n".join(f"| p50 of one image, {name} | {rows[name]} |" for name in sorted(rows))


def _card(
    name: str,
    some: Sequence[Trained],
    labels: NDArray[np.int64],
    times: str,
    photos: Path | None,
) -> str:
    best, shares = _best(some), [float(np.mean(one.called == labels)) for one in some]
    card = Classifier(best.file).card
    info = _info(best.folder)
    share = float(np.mean(best.called == labels))
    low, high = proportion(best.called == labels).interval
    confusion = np.zeros((len(card.labels),) * 2, np.int64)
    np.add.at(confusion, (labels, best.called), 1)
    rows = tuple(tuple(row) for row in confusion.tolist())
    evaluation = Evaluation("test", len(labels), share, 0.0, rows)
    seeds = "\n".join(
        f"| {one.seed} | {one.validated:.2%} | {tested:.2%} | "
        f"{one.file.stat().st_size / 1000:.1f} KB | [{one.folder.name}](../../{one.folder}) |"
        for one, tested in zip(some, shares, strict=True)
    )
    chosen = f"\nThis card is about seed {best.seed}, the best on the validation images.\n"
    classes = "\n".join(
        f"| {label} | {confusion[index, index] / confusion[index].sum():.1%} | "
        f"{confusion[index, index] / max(1, confusion[:, index].sum()):.1%} |"
        for index, label in enumerate(card.labels)
    )
    epochs, planned = info["epochs"], recipes.get(name).epochs
    part = f" of the recipe's {planned}" * (epochs != planned)
    teachers = [Path(teacher["run"]) for teacher in info["teachers"]]
    commands = [f"{_command(_info(folder))} -o {folder}" for folder in teachers]
    pairs = "\n".join(f"- {in_words(pair)}" for pair in confused_pairs(evaluation, card.labels))
    commands.append(_command(info))
    return f"""# {name}: model card

{name} {PURPOSES[name]}.
It tells the ten kinds of clothes of Fashion-MNIST apart. Written by `make model-cards`, which
measures every figure below anew, except times on kinds of processors that it does not run on.

| | |
| --- | --- |
| input | one image, {card.input.width}x{card.input.height}, gray, uint8; \
`fmx-run` makes it of any image |
| output | probabilities of {", ".join(card.labels)} |
| file | int8 TFLite, {best.file.stat().st_size / 1000:.1f} KB |
| accuracy on the 10,000 test images | {np.mean(shares):.2%}, mean of {len(shares)} seed(s); \
seed {best.seed} {share:.2%}, 95 % interval {low:.2%} to {high:.2%} |
{times}
| licence | Apache-2.0 |

## Data
Learnt from 55,000 of Fashion-MNIST's training images (MIT licence, Zalando SE), and from
photos of clothes laid flat (Grigorev, 2020, CC0), cut out by `fmx-run`'s own garment finder,
each seen four times with other light, turned and nearer. 5,000 other training images, and
photos that were set apart, chose between networks. The test images chose nothing: they are
not read before a training is over, and calibration takes training images.

## How to make it again
```
{chr(10).join(commands)}
fmx export --int8 RUN
```

{epochs}{part} epochs; each folder has the settings (run.json), the history of its epochs
(history.json) and its metrics.

| seed | validation accuracy, int8 | test accuracy, int8 | size | folder |
| --- | ---: | ---: | ---: | --- |
{seeds}
{chosen * (len(some) > 1)}
## Photos
{_photos(best.file, photos)}
## By class (seed {best.seed}, int8, test images)
| class | found (recall) | right (precision) |
| --- | ---: | ---: |
{classes}

What it confuses most:

{pairs}

## Meant for, and not meant for
For learning, for demonstrations, and as a start for networks of your own (`fmx train --data`).
It knows ten kinds of clothes and answers with one of them whatever it is shown: a hat, a face and
an empty table are called clothes too, often with a high score. Photos should show one garment,
laid flat or on a hanger, on a ground of another colour; worn clothes, several garments at once and
patterned grounds are often wrong. Shirts, T-shirts, pullovers and coats are confused by people too.
Nothing about people must be decided by it.
"""


def _info(folder: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
    return info


def _command(info: Mapping[str, Any]) -> str:
    """What trains such a run, with the recipe as it is now."""
    name = info["recipe"]["name"]
    command = f"fmx train --recipe {name} --seed {info['seed']}"
    command += f" --epochs {info['epochs']}" * (info["epochs"] != recipes.get(name).epochs)
    command += " --photos PHOTOS/train" * ("photo" in info["data"])
    return command + "".join(f" --teacher {teacher['run']}" for teacher in info["teachers"])


def _photos(file: Path, photos: Path | None) -> str:
    if photos is None:
        return "Not measured: `make model-cards PHOTOS=DIR` does.\n"
    classifier = Classifier(file)
    lines, shares = [], []
    for kind, right in KINDS.items():
        paths = image_files(photos / kind)
        shares.append(accuracy(classifier, paths, classifier.card.input, right))
        lines.append(f"| {kind} | {' or '.join(right)} | {len(paths)} | {shares[-1]:.1%} |")
    return f"""Of photos on which nothing was trained, through `fmx-run`'s own preprocessing,
{np.mean(shares):.1%} are right, mean of the kinds (`make model-cards PHOTOS=DIR`):

| kind | right is | photos | accuracy |
| --- | --- | ---: | ---: |
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)  # noqa: PLR2004
