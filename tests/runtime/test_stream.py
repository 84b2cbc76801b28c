from __future__ import annotations

import collections
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime import Classifier
from fmx_runtime.errors import BackendError, PictureError
from fmx_runtime.stream import classify_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.preprocess import Picture

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def children() -> set[int]:
    """The processes that this one has started and that still run."""
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
    return {int(pid) for pid in text.split()}


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_each_picture_has_its_answer(
    name: str, workers: int, exported: Path, pictures: Path
) -> None:
    """However many work at a time, all pictures are answered in their order, bad ones too."""
    classifier = Classifier(exported / f"baseline.{name}")
    paths: list[Picture] = [*sorted(pictures.iterdir())] * 8
    paths[7:7] = [pictures / "gone.png"]
    paths[50:50] = [b"no picture"]
    before = children()
    outcomes = list(classify_stream(classifier, paths, top_k=2, workers=workers))
    assert [picture for picture, _ in outcomes] == paths
    for index, (picture, outcome) in enumerate(outcomes):
        if index in {7, 50}:
            assert isinstance(outcome, PictureError)
        else:
            assert outcome == classifier.classify(picture, 2)
    assert "gone.png' does not exist" in str(outcomes[7][1])
    assert children() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_endless_pictures(workers: int, exported: Path, pictures: Path) -> None:
    """Answers come while pictures do; few pictures are taken ahead, and nothing is left behind."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        for path in itertools.cycle(sorted(pictures.iterdir())):
            taken += 1
            yield path

    before = children()
    stream = classify_stream(classifier, endless(), workers=workers)
    for answered in range(1, 2001):
        next(stream)
        assert taken <= answered + 64 * 3 * workers
    stream.close()
    assert children() == before


def test_nothing_to_do(exported: Path) -> None:
    """No picture, no answer."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    assert not list(classify_stream(classifier, [], workers=2))
    with pytest.raises(ValueError, match="workers=0"):
        next(classify_stream(classifier, [], workers=0))


def test_a_worker_that_is_killed(exported: Path, pictures: Path) -> None:
    """It is said in one line, at once; the others end."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    before = children()
    stream = classify_stream(classifier, itertools.repeat(pictures / "00.png"), workers=2)
    next(stream)
    os.kill(min(children() - before), signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(BackendError, match="sudden end"):
        collections.deque(stream, maxlen=0)
    assert time.monotonic() - start < 20
    assert children() == before


FOR_EVER = """
import itertools, sys
from fmx_runtime import Classifier
from fmx_runtime.stream import classify_stream
model, picture = sys.argv[1:]
stream = classify_stream(Classifier(model), itertools.repeat(picture), workers=2)
next(stream)
print("begun", flush=True)
for _ in stream:
    pass
"""


def test_workers_end_with_their_parent(exported: Path, pictures: Path) -> None:
    """When the process that handed the work out is killed, its workers do not live on."""
    process = subprocess.Popen(
        [sys.executable, "-c", FOR_EVER, exported / "baseline.int8.tflite", pictures / "00.png"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    assert process.stdout.readline() == b"begun\n"
    process.kill()
    # the pipe is open as long as one of them lives
    assert process.stdout.read() == b""
    process.wait()
