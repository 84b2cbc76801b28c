"""What a command line asks for: to classify images, to test models, or to show them."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from fmx_runtime.command.arguments import SEGMENT_GARMENT
from fmx_runtime.command.messages import print_message
from fmx_runtime.errors import FmxError, ImageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fmx_runtime.classifier import Classifier
    from fmx_runtime.command.results import Result
    from fmx_runtime.images.preprocess import ImageLike
    from fmx_runtime.sources.inputs import InputImage

__all__ = ["Job", "classify_images", "create_job"]


class Job(NamedTuple):
    """A job whose options are checked and whose model is loaded.

    Attributes:
        results: computed lazily.
        columns: of the results as CSV.
        count_results: returns the number of results, or None if that takes too long; None for jobs
            without a progress display.
        is_live: whether each result is soon followed by the next.
    """

    results: Iterable[Result]
    columns: Sequence[str] = ()
    count_results: Callable[[], int | None] | None = None
    is_live: bool = False


class _UsageError(FmxError):
    """Wrong usage that is known only when images are found."""

    exit_code = 2


def create_job(options: argparse.Namespace) -> Job:
    """Return the job that a command line asks for.

    Raises:
        FmxError: the model cannot be used, or the preprocessed image cannot be saved.
    """
    if options.self_test or options.info:
        from fmx_runtime.command.model_jobs import show_models, test_models
        from fmx_runtime.command.results import SELF_TEST_COLUMNS

        if options.info:
            return Job(show_models(options))
        return Job(test_models(options), SELF_TEST_COLUMNS)
    return _create_classification(options)


def classify_images(
    classifier: Classifier, inputs: Iterable[InputImage], *, top_k: int, workers: int
) -> Iterator[Result]:
    """Yield the result of each image, in order.

    Args:
        classifier: see `fmx_runtime.command.parallel.classify_stream`.
        inputs: images; errors stand for images that cannot be read.
        top_k: number of labels per image.
        workers: number of images that are classified at a time.
    """
    from fmx_runtime.command.parallel import classify_stream
    from fmx_runtime.command.results import ClassificationResult, FailedResult

    pending: deque[InputImage] = deque()  # taken from ``inputs``, without a result so far

    def images() -> Iterator[ImageLike]:
        for item in inputs:
            pending.append(item)
            if not isinstance(item.image, ImageError):
                yield item.image

    for _, outcome in classify_stream(classifier, images(), top_k=top_k, workers=workers):
        while isinstance(error := pending[0].image, ImageError):
            yield FailedResult(pending.popleft().path, error)
        item = pending.popleft()
        if isinstance(outcome, FmxError):
            yield FailedResult(item.path, outcome, item.frame)
        else:
            yield ClassificationResult(item, outcome)
    for item in pending:
        if isinstance(item.image, ImageError):
            yield FailedResult(item.path, item.image)


def _create_classification(options: argparse.Namespace) -> Job:
    from fmx_runtime.classifier import Classifier
    from fmx_runtime.command.results import classification_columns
    from fmx_runtime.model_file.default_model import default_model

    segment_garment = SEGMENT_GARMENT[options.segment_garment]
    classifier = Classifier(
        options.model or default_model(),
        backend=options.backend,
        segment_garment=segment_garment,
        **_external_model_options(options),
    )
    top_k = min(options.top_k, len(classifier.metadata.labels))
    inputs, is_camera = _open_inputs(options), options.camera is not None
    # several workers would take images ahead, and so delay the results of a live source
    is_live_source = is_camera or options.watch is not None
    workers = 1 if is_live_source else options.threads
    if options.save_preprocessed is not None:
        only_input = _single_input(inputs)
        _save_preprocessed(only_input, classifier, options.save_preprocessed, segment_garment)
        inputs = [only_input]
    return Job(
        classify_images(classifier, inputs, top_k=top_k, workers=workers),
        classification_columns(top_k, frames=is_camera),
        None if is_live_source else lambda: _count_inputs(options.files),
        is_camera,
    )


def _open_inputs(options: argparse.Namespace) -> Iterable[InputImage]:
    from fmx_runtime.sources import inputs

    if options.watch is not None:
        if sys.stderr is not None and sys.stderr.isatty() and os.path.isdir(options.watch):  # noqa: PTH112
            print_message(f"watching '{options.watch}' for new images; press Ctrl-C to stop")
        return inputs.from_watched_folder(options.watch)
    if options.camera is not None:
        return inputs.from_camera(options.camera)
    return inputs.from_paths(options.files)


def _count_inputs(paths: Sequence[str]) -> int | None:
    from fmx_runtime.sources.inputs import STDIN
    from fmx_runtime.sources.paths import count_images

    return None if STDIN in paths else count_images(paths)


def _single_input(inputs: Iterable[InputImage]) -> InputImage:
    found = list(itertools.islice(inputs, 2))
    if len(found) > 1:
        raise _UsageError(
            f"--save-preprocessed needs exactly one image; found '{found[0].path}' and others"
        )
    return found[0]


def _save_preprocessed(
    item: InputImage, classifier: Classifier, path: str, segment_garment: bool | None
) -> None:
    """Save an image as the model sees it; an error of the image becomes its result later."""
    from fmx_runtime.images.save_preprocessed import save_preprocessed

    if not isinstance(item.image, ImageError):
        with contextlib.suppress(ImageError):
            save_preprocessed(
                item.image, classifier.metadata.input, path, segment_garment=segment_garment
            )


def _external_model_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of `Classifier` for a model without metadata."""
    if not options.labels:
        return {}
    from pathlib import Path

    from fmx_runtime.model_file.labels import read_labels

    return {"labels": read_labels(Path(options.labels)), "input_range": options.input_range}
