"""Classify many images, one after the other or several at a time.

`classify_stream` is public: ``from fmx_runtime import classify_stream``. It is what ``fmx-run
--threads N`` uses, and it continues after an image that cannot be read.

Example:
    >>> from fmx_runtime import Classifier, classify_stream
    >>> classifier = Classifier("baseline.int8.tflite")  # doctest: +SKIP
    >>> for path, outcome in classify_stream(classifier, paths, workers=4):  # doctest: +SKIP
    ...     print(path, outcome)
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import time
from collections import deque
from typing import TYPE_CHECKING

from PIL import Image

from fmx_runtime.errors import BackendError, ImageError, PredictionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO, NoReturn

    from fmx_runtime.classifier import Classifier, Prediction
    from fmx_runtime.images.preprocess import ImageLike

    Outcome = tuple[Prediction, ...] | ImageError | PredictionError

__all__ = ["classify_stream"]

_CHUNK_SECONDS = 0.05  # of work in a chunk: results are at most that late
_MAX_CHUNK_IMAGES = 64
_CHUNKS_AHEAD = 3  # per worker: a slow image delays no other, and memory remains bounded
_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})


def classify_stream(
    classifier: Classifier, images: Iterable[ImageLike], *, top_k: int = 3, workers: int = 1
) -> Iterator[tuple[ImageLike, Outcome]]:
    """Classify images as they come, and yield the outcomes in their order.

    Decoding a small image takes longer than classifying it, and Python threads decode one at a
    time. So several workers are processes, forked from this one. If the iterable waits for images,
    use one worker: several take some images ahead before the first outcome is yielded.

    Args:
        classifier: opened with ``threads=1`` if there are several workers.
        images: see `ImageLike`; may be endless.
        top_k: see `Classifier.classify`.
        workers: number of images to classify at a time; at most the number of processor cores
            makes sense. Where processes cannot be forked, there is one worker.

    Yields:
        Each image with its predictions, or with the error that prevented them.

    Raises:
        BackendError: a worker cannot be started, or ended unexpectedly, for example because memory
            ran out.
        ValueError: ``workers`` or ``top_k`` is less than 1.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers}")
    if workers == 1 or not hasattr(os, "fork"):
        for image in images:
            yield image, _classify(classifier, image, top_k)
        return
    for chunk in _classify_in_workers(classifier, images, top_k, workers):
        yield from zip(chunk.images, chunk.outcomes, strict=True)


def _classify(classifier: Classifier, image: ImageLike, top_k: int) -> Outcome:
    try:
        return classifier.classify(image, top_k)
    except (ImageError, PredictionError) as error:
        return error


class _Chunk:
    """Consecutive images, and their outcomes once they are known."""

    def __init__(self, images: list[ImageLike]) -> None:
        self.images = images
        self.outcomes: list[Outcome] = []


def _classify_in_workers(
    classifier: Classifier, images: Iterable[ImageLike], top_k: int, workers: int
) -> Iterator[_Chunk]:
    """Yield classified chunks in their order; each goes to the first idle worker."""
    remaining = iter(images)
    chunk_size = 1
    ahead: deque[_Chunk] = deque()  # taken, not yet yielded
    busy: dict[_Worker, _Chunk] = {}
    all_workers: list[_Worker] = []
    try:
        with _signals_blocked():
            all_workers.extend(_Worker(classifier, top_k) for _ in range(workers))
        idle = all_workers.copy()
        while True:
            while idle and len(ahead) < workers * _CHUNKS_AHEAD:
                chunk = _Chunk(list(itertools.islice(remaining, chunk_size)))
                if not chunk.images:
                    break
                ahead.append(chunk)
                if any(isinstance(image, Image.Image) for image in chunk.images):
                    # a pickled Pillow image is large, and loses the EXIF data of its file
                    chunk.outcomes = [_classify(classifier, image, top_k) for image in chunk.images]
                else:
                    idle[-1].send(chunk.images)
                    busy[idle.pop()] = chunk
            if not ahead:
                return
            if ahead[0].outcomes:
                yield ahead.popleft()
                continue
            for worker in _wait_for_any(busy):
                seconds, outcomes = worker.receive()
                busy.pop(worker).outcomes = outcomes
                images_per_chunk = int(len(outcomes) * _CHUNK_SECONDS / seconds)
                chunk_size = max(1, min(_MAX_CHUNK_IMAGES, images_per_chunk))
                idle.append(worker)
    finally:
        for worker in all_workers:
            worker.stop()


def _wait_for_any(workers: Iterable[_Worker]) -> list[_Worker]:
    """Wait until a worker has finished its chunk or has ended, and return all such workers."""
    import select

    poll = select.poll()
    by_descriptor = {worker.fileno(): worker for worker in workers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll()]


class _Worker:
    """A process, forked from this one, that classifies one chunk at a time.

    One of the two processes always reads while the other writes, so there is no deadlock. If this
    process ends for any reason, the worker reads the end of the pipe and ends too.
    """

    def __init__(self, classifier: Classifier, top_k: int) -> None:
        inputs, self._inputs = _open_pipe()
        self._outcomes, outcomes = _open_pipe()
        with inputs, outcomes:
            try:
                self._pid = classifier.fork()
            except OSError as error:
                self._close()
                raise BackendError(
                    f"cannot start a worker process: {error.strerror}: try fewer threads"
                ) from error
            if not self._pid:
                self._close()
                _run_worker(classifier, top_k, inputs, outcomes)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a chunk is finished."""
        return self._outcomes.fileno()

    def send(self, images: list[ImageLike]) -> None:
        """Send a chunk of images."""
        with _explained_end():
            pickle.dump(images, self._inputs, pickle.HIGHEST_PROTOCOL)
            self._inputs.flush()

    def receive(self) -> tuple[float, list[Outcome]]:
        """Return the seconds that the chunk took, and its outcomes."""
        with _explained_end():
            seconds, outcomes = pickle.load(self._outcomes)  # noqa: S301  from our own process
        if isinstance(outcomes, Exception):
            raise outcomes
        return seconds, outcomes

    def stop(self) -> None:
        """Kill the process."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._close()

    def _close(self) -> None:
        for file in (self._inputs, self._outcomes):
            with contextlib.suppress(OSError):  # buffered data that cannot be sent any more
                file.close()


def _run_worker(
    classifier: Classifier, top_k: int, inputs: BinaryIO, outcomes: BinaryIO
) -> NoReturn:
    """Classify chunks until there are no more; in the worker process."""
    try:
        # Ctrl-C reaches the workers too, but only the parent process handles it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        while True:
            images = pickle.load(inputs)  # noqa: S301  from our own process
            start = time.perf_counter()
            try:
                result: object = [_classify(classifier, image, top_k) for image in images]
            except Exception as error:  # noqa: BLE001  raised by `_Worker.receive` in the parent
                result = error
            message = time.perf_counter() - start, result
            pickle.dump(message, outcomes, pickle.HIGHEST_PROTOCOL)
            outcomes.flush()
    finally:
        os._exit(0)  # the parent process does the cleanup


@contextlib.contextmanager
def _explained_end() -> Iterator[None]:
    """Explain errors that occur because a worker has ended."""
    try:
        yield
    except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
        raise BackendError(
            "a worker process ended unexpectedly, perhaps because memory ran out: try fewer threads"
        ) from error


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals until all workers are started and known."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _open_pipe() -> tuple[BinaryIO, BinaryIO]:
    """Return the end to read from and the end to write to."""
    read_end, write_end = os.pipe()
    return os.fdopen(read_end, "rb"), os.fdopen(write_end, "wb")
