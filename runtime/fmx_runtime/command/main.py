"""``fmx-run``: images in, labels and scores out; or models in, and what they are and can do out.

Whatever takes time to import is imported where it is used, so that Ctrl-C meets ``main``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from fmx_runtime.errors import FmxError, ImageError, ModelFileError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fmx_runtime.classifier import Classifier
    from fmx_runtime.command.writers import Answer
    from fmx_runtime.sources.inputs import InputImage

__all__ = ["main"]

_PHOTO = {"auto": None, "always": True, "never": False}
_SIGNALS = 128
"""An exit code says by this and its number which signal it was, as shells do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    received: list[int] = []
    try:
        with _signals_raising(received):
            return _main(_options(arguments), received)
    except KeyboardInterrupt:
        return _SIGNALS + received[0] if received else 130
    except Exception:
        # in the middle of an import, KeyboardInterrupt becomes another exception
        if received:
            return _SIGNALS + received[0]
        raise


class _UsageError(FmxError):
    exit_code = 2


@contextlib.contextmanager
def _signals_raising(received: list[int]) -> Iterator[None]:
    """Have SIGTERM end the work as Ctrl-C does, and note which of the two came."""
    import signal

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    def unraisable(report: Any) -> None:
        if report.exc_type is KeyboardInterrupt:  # lost in an import's callback: again
            from threading import Timer

            Timer(0.02, signal.raise_signal, received[-1:]).start()
        else:
            hook(report)

    usual: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    # one that is ignored, as in the background, stays so
    ours = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    try:
        for number in ours:
            signal.signal(number, interrupt)
    except ValueError:  # a program may call this in a thread, where there are no signals
        ours = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in ours:
            signal.signal(number, usual[number])


def _main(options: argparse.Namespace, received: Sequence[int]) -> int:
    import warnings

    from fmx_runtime.support.stderr_filter import filter_native_stderr

    try:
        with filter_native_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _run(options)
    except FmxError as error:
        if received:  # an interpreter that was being imported took it for a failure of its own
            raise KeyboardInterrupt from error
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        if options.watch or options.camera:
            return 0
        raise
    except OSError as error:
        # nothing more can be written, and Python would try once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has gone, as in 'fmx-run ... | head'
            return 0
        _complain(f"cannot write the answers: {error.strerror or error}")
        return 1


def _complain(message: object) -> None:
    """One line on stderr, where there is one."""
    from fmx_runtime.command.writers import printable

    if sys.stderr is not None:
        print("fmx-run:", printable(str(message)), file=sys.stderr)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What is asked for; wrong usage ends the process."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["bench"]:
        return _bench_options(given[1:])
    parser = _parser()
    options = parser.parse_intermixed_args(given)
    if problem := _problem(options):
        parser.error(problem)
    return options


def _bench_options(arguments: Sequence[str]) -> argparse.Namespace:
    import argparse

    from fmx_runtime.bench.command import parser

    usual = argparse.Namespace(watch=None, camera=None, bench=True)
    return parser().parse_args(arguments, usual)


def _parser() -> argparse.ArgumentParser:
    import argparse
    from typing import get_args

    from fmx_runtime.backends.base import BackendName

    parser = argparse.ArgumentParser(
        prog="fmx-run",
        # the terminal's own width would be asked of a module that takes 2 ms to import, each time
        formatter_class=functools.partial(argparse.HelpFormatter, width=80),
        usage="%(prog)s [option ...] IMAGE [IMAGE ...]\n"
        "       %(prog)s [option ...] --watch DIR | --camera SOURCE\n"
        "       %(prog)s [option ...] --self-test | --info [MODEL ...]\n"
        "       %(prog)s bench --images NPZ|DIR MODEL [MODEL ...]",
        description="Say what is on images, with a model exported by fmx.",
        epilog="Without --model: $FMX_MODEL, or else the newest *.int8.tflite in this folder "
        "or in exports/*/, or else the one that comes with it. Exit codes: 0 all answered, 1 some "
        "images failed, 2 usage, 3 the model or its interpreter.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="IMAGE",
        help="a file, a folder, a pattern like 'shop/**/*.jpg', or - for the standard input: a "
        "image, or paths, one a line or ending in NUL",
    )
    what = parser.add_argument_group("other things to do").add_mutually_exclusive_group()
    what.add_argument("--watch", metavar="DIR", help="answer each new image in a folder")
    what.add_argument(
        "--camera",
        metavar="SOURCE",
        help="answer each frame of a camera, by its number, or of a video, by its file or URL",
    )
    what.add_argument(
        "--self-test",
        action="store_true",
        help="have models answer the images they carry, and say whether each answers as it did "
        "where it was made: exact, within tolerance or wrong",
    )
    what.add_argument(
        "--info",
        action="store_true",
        help="show what models say of themselves, and what would run them here",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--model", metavar="FILE", help="a .tflite or .onnx model")
    how.add_argument(
        "--labels",
        metavar="FILE",
        help="of a model from elsewhere: the names of its classes, one a line",
    )
    how.add_argument(
        "--input-range",
        choices=("0..1", "-1..1", "0..255"),
        help="of a model from elsewhere: the values that a pixel's 0 and 255 become, if it takes "
        "floats and does not say so itself; write --input-range=-1..1",
    )
    how.add_argument("--backend", choices=get_args(BackendName), help="default: what fits")
    how.add_argument(
        "--threads",
        type=_positive,
        default=1,
        metavar="N",
        help="images that are answered at a time, of files and folders (default 1)",
    )
    how.add_argument(
        "--segment-garment",
        choices=_PHOTO,
        default="auto",
        help="whether images are photos, in which the garment is found first, for models "
        "of garments (default auto: as each image looks)",
    )
    how.add_argument(
        "--save-preprocessed", metavar="OUT.png", help="write what the network sees of one image"
    )
    form = parser.add_argument_group("answers")
    form.add_argument(
        "--top-k", type=_positive, default=1, metavar="N", help="labels per image (default 1)"
    )
    forms = form.add_mutually_exclusive_group()
    for name, meaning in (
        ("json", "one JSON array"),
        ("jsonl", "one JSON object a line"),
        ("csv", "a table with a head"),
    ):
        forms.add_argument(
            f"--{name}", action="store_const", dest="form", const=name, default="text", help=meaning
        )
    return parser


def _positive(text: str) -> int:
    import argparse

    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def _problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the options together."""
    of_models = options.self_test or options.info
    live = options.watch is not None or options.camera is not None
    if not (options.files or of_models or live):
        return "the following arguments are required: IMAGE"
    if live and options.files:
        return "--watch and --camera take no IMAGE"
    if options.files.count("-") > 1:
        return "- can be given once: there is one standard input"
    if (options.input_range and not options.labels) or (options.labels and of_models):
        return (
            "--labels and --input-range go together, and with images: a model has them, or metadata"
        )
    if options.info and options.form == "csv":
        return "--info has no table: choose --json or --jsonl"
    if options.save_preprocessed is not None:
        if of_models or live or len(options.files) > 1:
            return "--save-preprocessed takes one IMAGE"
        if not options.save_preprocessed.lower().endswith(".png"):
            return "--save-preprocessed writes a PNG file: end its name in .png"
    return None


class _Work(NamedTuple):
    """What there is to do, once it is known that it can be."""

    answers: Iterable[Answer]
    columns: Sequence[str] = ()
    total: Callable[[], int | None] | None = None
    """How many answers there will be, for work whose progress is of interest."""
    live: bool = False


def _run(options: argparse.Namespace) -> int:
    if "bench" in options:
        from fmx_runtime.bench.command import bench

        return bench(options, _complain)
    from fmx_runtime.command.progress import Progress
    from fmx_runtime.command.writers import open_output

    work = _work(options)
    code = 0
    with open_output(options.form, work.columns, live=work.live) as output:
        shared = sys.stdout.isatty()
        progress = Progress(sys.stderr if work.total else None, work.total or (lambda: None))
        try:
            for answer in work.answers:
                if shared or answer.error:
                    progress.clear()
                output.write(answer)
                if answer.error:
                    _complain(answer.error)
                code = max(code, answer.exit_code)
                progress.step()
        finally:
            progress.end(stay=not shared)
    return code


def _work(options: argparse.Namespace) -> _Work:
    from fmx_runtime.command import results

    if options.self_test:
        return _Work(_tests(options), results.TEST_COLUMNS)
    if options.info:
        return _Work(_infos(options))
    photo = _PHOTO[options.segment_garment]
    classifier = _classifier(_model(options), options, **_external(options), segment_garment=photo)
    top_k = min(options.top_k, len(classifier.metadata.labels))
    questions, live = _questions(options), options.camera is not None
    awaited = live or options.watch is not None  # by several workers, they would be given ahead
    workers = 1 if awaited else options.threads
    if options.save_preprocessed is not None:
        questions = [_only(questions)]
        _save_input(questions[0], classifier, options.save_preprocessed, photo)
    return _Work(
        results.to_images(classifier, questions, top_k=top_k, workers=workers),
        results.columns(top_k, frames=live),
        None if awaited else lambda: _total(options.files),
        live,
    )


def _questions(options: argparse.Namespace) -> Iterable[InputImage]:
    from fmx_runtime.sources import inputs

    if options.watch is not None:
        if sys.stderr is not None and sys.stderr.isatty() and os.path.isdir(options.watch):  # noqa: PTH112
            _complain(f"watching '{options.watch}', until Ctrl-C")
        return inputs.watched(options.watch)
    if options.camera is not None:
        return inputs.filmed(options.camera)
    return inputs.named(options.files)


def _model(options: argparse.Namespace) -> str:
    from fmx_runtime.model_file.default_model import default_model

    return options.model or default_model()


def _models(options: argparse.Namespace) -> list[str]:
    """Those that are named, or else the one that would be taken for images."""
    return [*([options.model] if options.model else []), *options.files] or [_model(options)]


def _classifier(path: str, options: argparse.Namespace, **how: Any) -> Classifier:
    from fmx_runtime.classifier import Classifier

    return Classifier(path, backend=options.backend, **how)


def _external(options: argparse.Namespace) -> dict[str, Any]:
    """What is said of a model that carries no metadata."""
    if not options.labels:
        return {}
    from pathlib import Path

    from fmx_runtime.model_file.labels import read_labels

    return {"labels": read_labels(Path(options.labels)), "input_range": options.input_range}


def _total(names: Sequence[str]) -> int | None:
    from fmx_runtime.sources.inputs import STDIN
    from fmx_runtime.sources.paths import count

    return None if STDIN in names else count(names)


def _only(questions: Iterable[InputImage]) -> InputImage:
    found = list(itertools.islice(questions, 2))
    if len(found) > 1:
        raise _UsageError(
            f"--save-preprocessed takes one image, not both '{found[0].path}' and others"
        )
    return found[0]


def _save_input(
    question: InputImage, classifier: Classifier, path: str, photo: bool | None
) -> None:
    """Write what the network sees of an image; one that cannot be read is answered later."""
    from fmx_runtime.images.save_preprocessed import save_preprocessed

    if not isinstance(question.image, ImageError):
        with contextlib.suppress(ImageError):
            save_preprocessed(question.image, classifier.metadata.input, path, photo=photo)


def _tests(options: argparse.Namespace) -> Iterator[Answer]:
    from fmx_runtime.command.results import Failed, Tested
    from fmx_runtime.command.self_test import self_test

    for path in _models(options):
        try:
            classifier = _classifier(path, options)
            try:
                yield Tested(path, self_test(classifier))
            except ModelFileError as error:
                raise ModelFileError(f"'{path}': {error}") from error
        except FmxError as error:
            yield Failed(path, error)


def _infos(options: argparse.Namespace) -> Iterator[Answer]:
    from fmx_runtime.command import info
    from fmx_runtime.command.results import Failed

    for path in _models(options):
        try:
            yield info.read(path, backend=options.backend, threads=options.threads)
        except FmxError as error:
            yield Failed(path, error)


if __name__ == "__main__":
    sys.exit(main())
