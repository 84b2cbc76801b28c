from __future__ import annotations

import collections
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime import Classifier
from fmx_runtime.command.parallel import classify_stream
from fmx_runtime.errors import BackendError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.images.preprocess import ImageLike
    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def children() -> set[int]:
    """Return the running child processes of this process."""
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
    return {int(pid) for pid in text.split()}


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_its_outcome(name: str, workers: int, exported: Path, images: Path) -> None:
    """All images are classified in order, bad ones too, with any number of workers."""
    classifier = Classifier(exported / f"baseline.{name}")
    paths: list[ImageLike] = [*sorted(images.iterdir())] * 8
    paths[7:7] = [images / "gone.png"]
    paths[50:50] = [b"no image"]
    before = children()
    outcomes = list(classify_stream(classifier, paths, top_k=2, workers=workers))
    assert [image for image, _ in outcomes] == paths
    for index, (image, outcome) in enumerate(outcomes):
        if index in {7, 50}:
            assert isinstance(outcome, ImageError)
        else:
            assert outcome == classifier.classify(image, 2)
    assert "gone.png' does not exist" in str(outcomes[7][1])
    assert children() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_endless_images(workers: int, exported: Path, images: Path) -> None:
    """Outcomes come while images do; few images are taken ahead, and no process is left."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        for path in itertools.cycle(sorted(images.iterdir())):
            taken += 1
            yield path

    before = children()
    stream = classify_stream(classifier, endless(), workers=workers)
    for number in range(1, 2001):
        next(stream)
        assert taken <= number + 64 * 3 * workers
    stream.close()
    assert children() == before


def test_no_images(exported: Path) -> None:
    """Without images, there are no outcomes; zero workers are an error."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    assert not list(classify_stream(classifier, [], workers=2))
    with pytest.raises(ValueError, match="workers=0"):
        next(classify_stream(classifier, [], workers=0))


def test_large_images(exported: Path) -> None:
    """Images larger than a pipe's buffer do not block the processes."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    arrays = list(np.random.default_rng(0).integers(0, 256, (40, 300, 300), dtype=np.uint8))
    outcomes = [outcome for _, outcome in classify_stream(classifier, arrays, top_k=10, workers=2)]
    assert outcomes == classifier.classify_batch(arrays, 10)


def test_pillow_images(exported: Path, images: Path, tmp_path: Path) -> None:
    """A Pillow image has the outcome of its file: turned upright, or an error."""
    boot = Image.open(images / "00.png")
    boot.save(tmp_path / "turned.tif", tiffinfo={274: 6})
    (tmp_path / "cut.png").write_bytes((images / "00.png").read_bytes()[:300])
    classifier = Classifier(exported / "baseline.int8.tflite")
    pixels = [Image.open(tmp_path / name) for name in ("turned.tif", "cut.png")] * 20
    outcomes = [outcome for _, outcome in classify_stream(classifier, pixels, workers=2)]
    expected = classifier.classify(tmp_path / "turned.tif")
    assert expected != classifier.classify(boot)
    assert outcomes[::2] == [expected] * 20
    assert all(isinstance(outcome, ImageError) for outcome in outcomes[1::2])


@pytest.mark.parametrize("workers", [1, 2])
def test_caller_errors(workers: int, exported: Path, images: Path) -> None:
    """Errors that are not about an image are raised, also from a worker."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    before = children()
    with pytest.raises(ValueError, match="top_k=0"):
        next(classify_stream(classifier, [images / "00.png"], top_k=0, workers=workers))
    assert children() == before


def test_other_threads_use_the_classifier(exported: Path, images: Path, splits: Splits) -> None:
    """Workers can be forked while other threads use the classifier."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    paths = sorted(images.iterdir())
    expected = classifier.classify_batch(paths)
    image, over = splits.test.images[0], threading.Event()

    def ask() -> None:
        while not over.is_set():
            classifier.classify(image)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            outcomes = [outcome for _, outcome in classify_stream(classifier, paths, workers=2)]
            assert outcomes == expected
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_killed_worker(exported: Path, images: Path) -> None:
    """A killed worker is an error in one line, at once; the others end."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    before = children()
    stream = classify_stream(classifier, itertools.repeat(images / "00.png"), workers=2)
    next(stream)
    os.kill(min(children() - before), signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(BackendError, match="ended unexpectedly"):
        collections.deque(stream, maxlen=0)
    assert time.monotonic() - start < 20
    assert children() == before


def test_interrupted_workers(exported: Path, images: Path) -> None:
    """Workers ignore SIGINT: the parent process handles Ctrl-C."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    before = children()
    stream = classify_stream(classifier, itertools.repeat(images / "00.png"), workers=2)
    next(stream)
    for worker in children() - before:
        os.kill(worker, signal.SIGINT)
    assert len(list(itertools.islice(stream, 2000))) == 2000
    stream.close()


ENDLESS = """
import itertools, sys
from fmx_runtime import Classifier
from fmx_runtime.command.parallel import classify_stream
model, image = sys.argv[1:]
stream = classify_stream(Classifier(model), itertools.repeat(image), workers=2)
next(stream)
print("started", flush=True)
for _ in stream:
    pass
"""


def test_workers_end_with_their_parent(exported: Path, images: Path) -> None:
    """When the parent process is killed, its workers end."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, exported / "baseline.int8.tflite", images / "00.png"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    assert process.stdout.readline() == b"started\n"
    process.kill()
    # the pipe is open as long as one of them lives
    assert process.stdout.read() == b""
    process.wait()


def test_ctrl_c(exported: Path, images: Path) -> None:
    """Ctrl-C, which reaches the workers too, is reported once, and no process is left."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, exported / "baseline.int8.tflite", images / "00.png"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert stderr.count("Traceback") == stderr.count("KeyboardInterrupt") == 1


NO_MORE_PROCESSES = """
import os, resource, sys
from fmx_runtime import BackendError, Classifier
from fmx_runtime.command.parallel import classify_stream
model, image = sys.argv[1:]
classifier = Classifier(model)
if os.getuid() == 0:  # no limit holds for root
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    next(classify_stream(classifier, [image], workers=2))
except BackendError as error:
    print(error)
"""


def test_no_more_processes(exported: Path, images: Path) -> None:
    """If the system allows no more processes, that is one line."""
    arguments = [exported / "baseline.int8.tflite", images / "00.png"]
    done = subprocess.run(
        [sys.executable, "-c", NO_MORE_PROCESSES, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("cannot start a worker process: ")
    assert done.stdout.endswith(": try fewer threads\n")
