"""Answers on the standard output: as text, JSON, JSON lines or CSV, each as it comes."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fmx_runtime.command.status_line import StatusLine
from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Answer", "Form", "Output", "Recorded", "encoded", "open_output", "printable"]

Form = Literal["text", "json", "jsonl", "csv"]

encoded = json.JSONEncoder(ensure_ascii=False).encode
"""A value as JSON."""


class Answer(Protocol):
    """What is said to one image, frame or model; in a form only when it is asked for."""

    @property
    def error(self) -> str | None:
        """What went wrong, in a line."""

    @property
    def exit_code(self) -> int:
        """What the command exits with, if nothing worse is said to others."""

    def record(self) -> dict[str, Any]:
        """As JSON has it; with an ``error`` where there is one."""

    def json(self) -> str:
        """The record as JSON."""

    def lines(self) -> Sequence[str]:
        """As text has it, without the error."""


class Recorded:
    """An answer whose JSON is made of its record."""

    def record(self) -> dict[str, Any]:
        """See `Answer`."""
        raise NotImplementedError

    def json(self) -> str:
        """See `Answer`."""
        return encoded(self.record())


class Output:
    """Where answers go.

    Raises:
        OSError: from any method: nobody reads any more, there is no room, or the like.
    """

    def write(self, answer: Answer) -> None:
        """Write an answer, and have it out."""
        raise NotImplementedError

    def begin(self) -> None:
        """Write what comes before the first answer."""

    def end(self) -> None:
        """Write what comes after the last answer."""


@contextlib.contextmanager
def open_output(form: Form, columns: Sequence[str] = (), *, live: bool = False) -> Iterator[Output]:
    """The output in a form; at the end, whatever ends it, what was begun is ended.

    Args:
        form: of the answers.
        columns: of a table: keys of the records; ``label_2``, ``score_2`` and so on are those of
            the second of the record's ``top``.
        live: each answer is soon followed by the next, so that a terminal shows the newest only.

    Raises:
        OutputError: there is no standard output.
        OSError: it cannot be written to.
    """
    output = _chosen(form, columns, live=live)
    output.begin()
    try:
        yield output
    except OSError:  # of this output, most likely; one is enough
        raise
    except BaseException:
        output.end()
        raise
    output.end()


def printable(text: str) -> str:
    """Text on one line that does nothing to a terminal: other characters are escaped."""
    if text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    import unicodedata

    if character.isprintable() or unicodedata.category(character) == "Zs":  # a kind of space
        return character
    return character.encode("unicode_escape").decode("ascii")


def _chosen(form: Form, columns: Sequence[str], *, live: bool) -> Output:
    stdout = sys.stdout
    if stdout is None:  # closed by whoever started the process
        raise OutputError("cannot write the answers: the standard output is closed")
    if isinstance(stdout, io.TextIOWrapper):
        # names of files need not be text; the escape for what is none is valid in JSON too, which
        # is UTF-8 everywhere
        stdout.reconfigure(encoding=None if form == "text" else "utf-8", errors="backslashreplace")
    if form == "text":
        return _Live() if live and stdout.isatty() else _Text()
    if form == "csv":
        return _Csv(columns)
    return _Json() if form == "json" else _JsonLines()


class _Text(Output):
    def write(self, answer: Answer) -> None:
        if lines := answer.lines():
            _put("\n".join([*map(printable, lines), ""]))


class _Live(Output):
    """One line that is rewritten."""

    def begin(self) -> None:
        self._line = StatusLine(sys.stdout)

    def write(self, answer: Answer) -> None:
        if lines := answer.lines():
            self._line.show("  ".join(map(printable, lines)))
        else:
            self._line.clear()

    def end(self) -> None:
        self._line.leave()


class _Json(Output):
    """One array, an element a line."""

    _between = ""

    def begin(self) -> None:
        _put("[")

    def write(self, answer: Answer) -> None:
        between, self._between = self._between, ","
        _put(f"{between}\n{answer.json()}")

    def end(self) -> None:
        _put("\n]\n" if self._between else "]\n")


class _JsonLines(Output):
    def write(self, answer: Answer) -> None:
        _put(f"{answer.json()}\n")


class _Csv(Output):
    """A table with a head, by RFC 4180, but that its lines end as those of text do here."""

    def __init__(self, columns: Sequence[str]) -> None:
        import csv

        self._columns = columns
        self._row = io.StringIO(newline="")
        # it quotes line ends of both kinds only if its own have both
        self._writer = csv.writer(self._row, lineterminator="\r\n")

    def begin(self) -> None:
        self._put(self._columns)

    def write(self, answer: Answer) -> None:
        record = _flat(answer.record())
        self._put([_cell(record.get(column)) for column in self._columns])

    def _put(self, cells: Sequence[Any]) -> None:
        self._writer.writerow(cells)
        _put(f"{self._row.getvalue()[:-2]}\n")
        self._row.seek(0)
        self._row.truncate()


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record whose ``top`` is spread out: ``label_2``, ``score_2``, and so on."""
    top = record.get("top", ())
    ranked = {f"{key}_{rank}": item[key] for rank, item in enumerate(top, 1) for key in item}
    return {**record, **ranked}


def _cell(value: Any) -> Any:
    """A value as a table has it; csv writes None as nothing."""
    return str(value).lower() if isinstance(value, bool) else value


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
