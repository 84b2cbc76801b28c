"""``fmx-run``: pictures in, labels and scores out; with ``--self-test``, models in, verdicts out.

Exit codes: 0 all answered, 1 some pictures failed, 2 usage, 3 a model or its interpreter.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from fmx_runtime.backend import BackendName
from fmx_runtime.errors import FmxError, ModelFileError, PictureError
from fmx_runtime.pictures import expand
from fmx_runtime.quiet import native_stderr_silenced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fmx_runtime.classifier import Prediction
    from fmx_runtime.self_test import SelfTest

__all__ = ["main"]

_PLACES = ("*.int8.tflite", "exports/*/*.int8.tflite")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.files or options.self_test):
        parser.error("the following arguments are required: PICTURE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # names of files need not be text; the escape for what is none is valid in JSON too
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with native_stderr_silenced(), warnings.catch_warnings():
            code = _run(options)
            print(end="", flush=True)
            return code
    except FmxError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # nothing more can be written, and Python would try once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has gone, as in 'fmx-run ... | head'
            return 0
        _complain(f"cannot write the answers: {error.strerror or error}")
        return 1


def _complain(message: object) -> None:
    """One line on stderr, where there is one."""
    if sys.stderr is not None:
        print("fmx-run:", *str(message).splitlines(), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fmx-run",
        usage="%(prog)s [option ...] PICTURE [PICTURE ...]\n"
        "       %(prog)s --self-test [option ...] [MODEL ...]",
        description="Say what is on pictures, with a model exported by fmx.",
        epilog="Without --model: $FMX_MODEL, or else the newest *.int8.tflite in this folder "
        "or in exports/*/.",
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="PICTURE", help="file or folder")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a .tflite or .onnx model")
    parser.add_argument(
        "--self-test",
        action="store_true",
        help="have models answer the pictures they carry, and say whether each answers as it did "
        "where it was made: exact, within tolerance or wrong",
    )
    parser.add_argument(
        "--top-k", type=_positive, default=1, metavar="N", help="labels per picture (default 1)"
    )
    parser.add_argument("--threads", type=_positive, default=1, metavar="N", help="default 1")
    parser.add_argument("--backend", choices=get_args(BackendName), help="default: what fits")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON array")
    form.add_argument("--jsonl", action="store_true", help="one JSON object a line, as they come")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


class _Answer(NamedTuple):
    """To one picture or model: as JSON, which has an error if that is what it is, and as text."""

    record: dict[str, Any]
    line: str
    exit_code: int = 0


def _run(options: argparse.Namespace) -> int:
    import logging

    # what Pillow remarks on odd pictures besides reading or refusing them
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    code = 0
    records = []
    for answer in _tests(options) if options.self_test else _classifications(options):
        code = max(code, answer.exit_code)
        failed = "error" in answer.record
        if failed:
            _complain(answer.line)
        if options.json:
            records.append(answer.record)
        elif options.jsonl:
            print(json.dumps(answer.record, ensure_ascii=False), flush=True)
        elif not failed:
            print(answer.line, flush=True)
    if options.json:
        print(json.dumps(records, indent=2, ensure_ascii=False))
    return code


def _default_model() -> Path:
    """The model to use when none is named."""
    if named := os.environ.get("FMX_MODEL"):
        return Path(named)
    found = [path for pattern in _PLACES for path in Path().glob(pattern) if path.is_file()]
    if not found:
        raise ModelFileError(
            "no model: give one with --model FILE or $FMX_MODEL, "
            f"or run where there is a {' or '.join(_PLACES)}"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _classifications(options: argparse.Namespace) -> Iterator[_Answer]:
    from fmx_runtime.classifier import Classifier

    model = options.model or _default_model()
    classifier = Classifier(model, backend=options.backend, threads=options.threads)
    for path in options.files:
        try:
            for picture in expand(path):
                try:
                    yield _classified(picture, classifier.classify(picture, options.top_k))
                except PictureError as error:
                    yield _failed(picture, error)
        except PictureError as error:
            yield _failed(path, error)


def _classified(path: Path, answer: tuple[Prediction, ...]) -> _Answer:
    top = [{"label": item.label, "score": round(item.score, 6)} for item in answer]
    scores = "  ".join(f"{item.label} {item.score:.1%}" for item in answer)
    return _Answer({"path": str(path), **top[0], "top": top}, f"{path}: {scores}")


def _tests(options: argparse.Namespace) -> Iterator[_Answer]:
    named = [options.model] if options.model else []
    for path in [*named, *options.files] or [_default_model()]:
        try:
            yield _tested(path, _self_test(path, options))
        except FmxError as error:
            yield _failed(path, error)


def _self_test(path: Path, options: argparse.Namespace) -> SelfTest:
    from fmx_runtime.classifier import Classifier
    from fmx_runtime.self_test import self_test

    classifier = Classifier(path, backend=options.backend, threads=options.threads)
    try:
        return self_test(classifier)
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error


def _tested(path: Path, result: SelfTest) -> _Answer:
    pictures = "1 golden picture" if result.pictures == 1 else f"{result.pictures} golden pictures"
    facts = [pictures, result.backend]
    if result.verdict != "exact":
        other = "" if result.labels_agree else ", other labels on top"
        facts.append(f"largest difference {result.difference:.2g} of {result.tolerance:.2g}{other}")
    return _Answer(
        {"path": str(path), **dataclasses.asdict(result)},
        f"{path}: {result.verdict} ({', '.join(facts)})",
        ModelFileError.exit_code if result.verdict == "wrong" else 0,
    )


def _failed(path: Path, error: FmxError) -> _Answer:
    return _Answer({"path": str(path), "error": str(error)}, str(error), error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
