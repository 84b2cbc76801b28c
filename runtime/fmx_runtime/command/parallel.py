"""Many images, one after the other or several at a time, and no bad one ends it."""

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

from fmx_runtime.errors import BackendError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO, NoReturn

    from fmx_runtime.classifier import Classifier, Prediction
    from fmx_runtime.images.preprocess import ImageLike

    Outcome = tuple[Prediction, ...] | ImageError

__all__ = ["classify_stream"]

_CHUNK_SECONDS = 0.05  # of work that is handed out at once: answers come that late at most
_LARGEST_CHUNK = 64
_CHUNKS_AHEAD = 3  # for each worker, so that a slow image holds up none, and memory has an end
_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})


def classify_stream(
    classifier: Classifier, images: Iterable[ImageLike], *, top_k: int = 3, workers: int = 1
) -> Iterator[tuple[ImageLike, Outcome]]:
    """Answer images as they come, in their order.

    To read a small image takes longer than to classify it, and Python reads one at a time: so
    several workers are processes, forked from this one. An iterable that waits for images wants
    one worker: several of them are given some images ahead, before the first answer is told.

    Args:
        classifier: opened with ``threads=1`` where there are several workers.
        images: see `ImageLike`; may be endless.
        top_k: see `Classifier.classify`.
        workers: images that are answered at a time; no more than there are processor cores.

    Yields:
        Each image, with its predictions or the reason why there are none.

    Raises:
        BackendError: a worker cannot be started, or came to a sudden end, as where memory runs
            out.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers}")
    if workers == 1 or not hasattr(os, "fork"):
        for image in images:
            yield image, _outcome(classifier, image, top_k)
        return
    for chunk in _shared_out(classifier, images, top_k, workers):
        yield from zip(chunk.images, chunk.outcomes, strict=True)


def _outcome(classifier: Classifier, image: ImageLike, top_k: int) -> Outcome:
    try:
        return classifier.classify(image, top_k)
    except ImageError as error:
        return error


class _Chunk:
    """Some images that follow one another, and their outcomes once they are there."""

    def __init__(self, images: list[ImageLike]) -> None:
        self.images = images
        self.outcomes: list[Outcome] = []


def _shared_out(
    classifier: Classifier, images: Iterable[ImageLike], top_k: int, workers: int
) -> Iterator[_Chunk]:
    """Chunks in their order, answered: each by the first worker that was free."""
    rest = iter(images)
    size = 1
    ahead: deque[_Chunk] = deque()
    at_work: dict[_Worker, _Chunk] = {}
    team: list[_Worker] = []
    try:
        with _signals_held_back():
            team.extend(_Worker(classifier, top_k) for _ in range(workers))
        free = team.copy()
        while True:
            while free and len(ahead) < workers * _CHUNKS_AHEAD:
                chunk = _Chunk(list(itertools.islice(rest, size)))
                if not chunk.images:
                    break
                ahead.append(chunk)
                if any(isinstance(image, Image.Image) for image in chunk.images):
                    # takes longer to send, and does not keep all that its file says of it
                    chunk.outcomes = [_outcome(classifier, x, top_k) for x in chunk.images]
                else:
                    free[-1].send(chunk.images)
                    at_work[free.pop()] = chunk
            if not ahead:
                return
            if ahead[0].outcomes:
                yield ahead.popleft()
                continue
            for worker in _finished(at_work):
                seconds, answered = worker.receive()
                at_work.pop(worker).outcomes = answered
                size = max(1, min(_LARGEST_CHUNK, int(len(answered) * _CHUNK_SECONDS / seconds)))
                free.append(worker)
    finally:
        for worker in team:
            worker.end()


def _finished(workers: Iterable[_Worker]) -> list[_Worker]:
    """Those that have answered, or have come to an end; waits for one."""
    import select

    poll = select.poll()
    by_number = {worker.fileno(): worker for worker in workers}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll()]


class _Worker:
    """A process that is forked from this one, and answers one chunk at a time.

    Either of the two reads while the other one writes, so that they never wait for each other. If
    this one ends, however it does, the worker finds no more to read and ends too.
    """

    def __init__(self, classifier: Classifier, top_k: int) -> None:
        questions, self._questions = _pipe()
        self._answers, answers = _pipe()
        with questions, answers:
            try:
                self._pid = classifier.fork()
            except OSError as error:
                self._close()
                raise BackendError(
                    f"cannot start a worker process: {error.strerror}: try fewer threads"
                ) from error
            if not self._pid:
                self._close()
                _work(classifier, top_k, questions, answers)

    def fileno(self) -> int:
        """Of what there is to read from once it has answered."""
        return self._answers.fileno()

    def send(self, images: list[ImageLike]) -> None:
        """Have it answer some images."""
        with _end_explained():
            pickle.dump(images, self._questions, pickle.HIGHEST_PROTOCOL)
            self._questions.flush()

    def receive(self) -> tuple[float, list[Outcome]]:
        """Their outcomes, and how many seconds they took."""
        with _end_explained():
            seconds, answered = pickle.load(self._answers)  # noqa: S301  our own process
        if isinstance(answered, Exception):
            raise answered
        return seconds, answered

    def end(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._close()

    def _close(self) -> None:
        for file in (self._questions, self._answers):
            with contextlib.suppress(OSError):  # what was begun cannot be sent any more
                file.close()


def _work(classifier: Classifier, top_k: int, questions: BinaryIO, answers: BinaryIO) -> NoReturn:
    """What a worker does: answers chunks until there are no more."""
    try:
        # Ctrl-C is for the process that hands the work out
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        while True:
            images = pickle.load(questions)  # noqa: S301  of the process that we are of
            start = time.perf_counter()
            try:
                outcomes: object = [_outcome(classifier, image, top_k) for image in images]
            except Exception as error:  # noqa: BLE001  it is raised where answers are waited for
                outcomes = error
            message = time.perf_counter() - start, outcomes
            pickle.dump(message, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    finally:
        os._exit(0)  # all else that there is to end is the other process's


@contextlib.contextmanager
def _end_explained() -> Iterator[None]:
    try:
        yield
    except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
        raise BackendError(
            "a worker process came to a sudden end, as where memory runs out: try fewer threads"
        ) from error


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Until all workers are there, and know what they are."""
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    """Its end to read from, and its end to write to."""
    to_read, to_write = os.pipe()
    return os.fdopen(to_read, "rb"), os.fdopen(to_write, "wb")
