"""Jobs about models rather than images: ``--self-test`` and ``--info``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.command.results import FailedResult, SelfTestResult
from fmx_runtime.errors import FmxError, ModelFileError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from fmx_runtime.command.results import Result

__all__ = ["show_models", "test_models"]


def test_models(options: argparse.Namespace) -> Iterator[Result]:
    """Yield the self-test result of each model."""
    from fmx_runtime.classifier import Classifier
    from fmx_runtime.command.self_test import self_test

    for path in _find_models(options):
        try:
            classifier = Classifier(path, backend=options.backend)
            try:
                yield SelfTestResult(path, self_test(classifier))
            except ModelFileError as error:
                raise ModelFileError(f"'{path}': {error}") from error
        except FmxError as error:
            yield FailedResult(path, error)


def show_models(options: argparse.Namespace) -> Iterator[Result]:
    """Yield the metadata of each model; no interpreter is needed."""
    from fmx_runtime.command.info import read_model_info

    for path in _find_models(options):
        try:
            yield read_model_info(path, backend=options.backend, threads=options.threads)
        except FmxError as error:
            yield FailedResult(path, error)


def _find_models(options: argparse.Namespace) -> list[str]:
    """Return the models that are given, or else the one that would classify images."""
    from fmx_runtime.model_file.default_model import default_model

    given = [*([options.model] if options.model else []), *options.files]
    return given or [default_model()]
