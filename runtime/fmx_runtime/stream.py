"""Many pictures, one after the other or several at a time, and no bad one ends it."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

from fmx_runtime.errors import BackendError, PictureError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from fmx_runtime.classifier import Classifier, Prediction
    from fmx_runtime.preprocess import Picture

    Outcome = tuple[Prediction, ...] | PictureError

__all__ = ["classify_stream"]

_CHUNK_SECONDS = 0.05  # of work that is handed out at once: answers come that late at most
_LARGEST_CHUNK = 64
_CHUNKS_AHEAD = 3  # for each worker, so that none waits, and that memory has an end


def classify_stream(
    classifier: Classifier, pictures: Iterable[Picture], *, top_k: int = 3, workers: int = 1
) -> Iterator[tuple[Picture, Outcome]]:
    """Answer pictures as they come, in their order.

    To read a small picture takes longer than to classify it, and Python reads one at a time: so
    several workers are processes, forked from this one. An iterable that waits for pictures wants
    one worker: several of them are given some pictures ahead, before the first answer is told.

    Args:
        classifier: opened with ``threads=1`` where there are several workers.
        pictures: see `Picture`; may be endless.
        top_k: see `Classifier.classify`.
        workers: pictures that are answered at a time; no more than there are processor cores.

    Yields:
        Each picture, with its predictions or the reason why there are none.

    Raises:
        BackendError: a worker came to a sudden end, as where memory runs out.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers}")
    if workers == 1 or not hasattr(os, "fork"):
        for picture in pictures:
            yield picture, _outcome(classifier, picture, top_k)
        return
    yield from _shared_out(classifier, pictures, top_k, workers)


def _outcome(classifier: Classifier, picture: Picture, top_k: int) -> Outcome:
    try:
        return classifier.classify(picture, top_k)
    except PictureError as error:
        return error


def _shared_out(
    classifier: Classifier, pictures: Iterable[Picture], top_k: int, workers: int
) -> Iterator[tuple[Picture, Outcome]]:
    # these take as long to import as a picture to answer
    import multiprocessing
    from collections import deque
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    rest = iter(pictures)
    size = 1
    executor = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(classifier, top_k),
    )
    try:
        ahead: deque[tuple[list[Picture], Future[tuple[float, list[Outcome]]]]] = deque()
        while True:
            while len(ahead) < workers * _CHUNKS_AHEAD:
                chunk = list(itertools.islice(rest, size))
                if not chunk:
                    break
                ahead.append((chunk, executor.submit(_answered, chunk)))
            if not ahead:
                return
            chunk, future = ahead.popleft()
            seconds, outcomes = future.result()
            size = max(1, min(_LARGEST_CHUNK, int(len(chunk) * _CHUNK_SECONDS / seconds)))
            yield from zip(chunk, outcomes, strict=True)
    except BrokenProcessPool as error:
        raise BackendError(
            "a worker process came to a sudden end, as where memory runs out: try fewer threads"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _begin(classifier: Classifier, top_k: int) -> None:
    """Called once in each worker, which has its own copy of the interpreter."""
    import signal
    import threading

    global _work  # noqa: PLW0603  a worker has one task for all of its life
    _work = classifier, top_k
    # Ctrl-C is for the process that handed the work out, and a worker ends when that one does
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_work: tuple[Classifier, int]


def _answered(chunk: list[Picture]) -> tuple[float, list[Outcome]]:
    """In a worker: the outcomes, and how many seconds they took."""
    start = time.perf_counter()
    outcomes = [_outcome(_work[0], picture, _work[1]) for picture in chunk]
    return time.perf_counter() - start, outcomes
