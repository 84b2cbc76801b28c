"""``fmx-run``: pictures in, labels and scores out.

Exit codes: 0 all answered, 1 some pictures failed, 2 usage, 3 the model or its interpreter.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from fmx_runtime.backend import BackendName
from fmx_runtime.errors import FmxError, ModelFileError, PictureError
from fmx_runtime.pictures import expand
from fmx_runtime.quiet import native_stderr_silenced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fmx_runtime.classifier import Classifier, Prediction

__all__ = ["main"]

_PLACES = ("*.int8.tflite", "exports/*/*.int8.tflite")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
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
        description="Say what is on pictures, with a model exported by fmx.",
        epilog="Without --model: $FMX_MODEL, or else the newest *.int8.tflite in this folder "
        "or in exports/*/.",
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="file or folder")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a .tflite or .onnx model")
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


def _run(options: argparse.Namespace) -> int:
    import logging

    from fmx_runtime.classifier import Classifier

    # what Pillow remarks on odd pictures besides reading or refusing them
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    path = options.model or _default_model()
    classifier = Classifier(path, backend=options.backend, threads=options.threads)
    failed = False
    records = []
    for picture, answer in _answers(classifier, options.pictures, options.top_k):
        if isinstance(answer, PictureError):
            failed = True
            _complain(answer)
        if options.json:
            records.append(_record(picture, answer))
        elif options.jsonl:
            print(json.dumps(_record(picture, answer), ensure_ascii=False), flush=True)
        elif not isinstance(answer, PictureError):
            scores = "  ".join(f"{item.label} {item.score:.1%}" for item in answer)
            print(f"{picture}: {scores}", flush=True)
    if options.json:
        print(json.dumps(records, indent=2, ensure_ascii=False))
    return 1 if failed else 0


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


def _answers(
    classifier: Classifier, paths: Sequence[Path], top_k: int
) -> Iterator[tuple[Path, tuple[Prediction, ...] | PictureError]]:
    for path in paths:
        try:
            for picture in expand(path):
                try:
                    yield picture, classifier.classify(picture, top_k)
                except PictureError as error:
                    yield picture, error
        except PictureError as error:
            yield path, error


def _record(path: Path, answer: tuple[Prediction, ...] | PictureError) -> dict[str, Any]:
    if isinstance(answer, PictureError):
        return {"path": str(path), "error": str(answer)}
    top = [{"label": item.label, "score": round(item.score, 6)} for item in answer]
    return {"path": str(path), **top[0], "top": top}


if __name__ == "__main__":
    sys.exit(main())
