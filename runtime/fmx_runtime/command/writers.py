"""Write results to stdout, each at once: as text, JSON, JSON lines or CSV."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING, Any, Literal

from fmx_runtime.command.messages import printable
from fmx_runtime.command.status_line import StatusLine
from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fmx_runtime.command.results import Result

__all__ = ["OutputFormat", "Writer", "open_writer"]

OutputFormat = Literal["text", "json", "jsonl", "csv"]


class Writer:
    """Writes results to stdout.

    Raises:
        OSError: from any method, if writing fails: the reader has ended, or the disk is full.
    """

    def begin(self) -> None:
        """Write what precedes the first result."""

    def write(self, result: Result) -> None:
        """Write a result and flush it."""
        raise NotImplementedError

    def end(self) -> None:
        """Write what follows the last result."""


@contextlib.contextmanager
def open_writer(
    output_format: OutputFormat, columns: Sequence[str] = (), *, live: bool = False
) -> Iterator[Writer]:
    """Open a writer of results; the output is completed at the end, also after an error.

    Args:
        output_format: of the results.
        columns: of CSV: keys of the records. ``label_2``, ``score_2`` and so on are those of the
            second item of the record's ``top``.
        live: each result is soon followed by the next, so a terminal shows only the newest.

    Raises:
        OutputError: stdout is closed.
        OSError: writing to stdout failed.
    """
    writer = _create_writer(output_format, columns, live=live)
    writer.begin()
    try:
        yield writer
    except OSError:  # most likely of this output, which then cannot be completed
        raise
    except BaseException:
        writer.end()
        raise
    writer.end()


def _create_writer(output_format: OutputFormat, columns: Sequence[str], *, live: bool) -> Writer:
    stdout = sys.stdout
    if stdout is None:  # closed by the parent process
        raise OutputError("cannot write the results: the standard output is closed")
    if isinstance(stdout, io.TextIOWrapper):
        # JSON is UTF-8 everywhere. File names need not be valid text; they are escaped, and the
        # escapes are valid in JSON.
        encoding = None if output_format == "text" else "utf-8"
        stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    if output_format == "text":
        return _LiveTextWriter() if live and stdout.isatty() else _TextWriter()
    if output_format == "csv":
        return _CsvWriter(columns)
    return _JsonWriter() if output_format == "json" else _JsonLinesWriter()


class _TextWriter(Writer):
    def write(self, result: Result) -> None:
        if lines := result.lines():
            _write("\n".join([*map(printable, lines), ""]))


class _LiveTextWriter(Writer):
    """One line, which is rewritten."""

    def begin(self) -> None:
        self._line = StatusLine(sys.stdout)

    def write(self, result: Result) -> None:
        if lines := result.lines():
            self._line.show("  ".join(map(printable, lines)))
        else:
            self._line.clear()

    def end(self) -> None:
        self._line.leave()


class _JsonWriter(Writer):
    """One JSON array, with one element per line."""

    _separator = ""

    def begin(self) -> None:
        _write("[")

    def write(self, result: Result) -> None:
        separator, self._separator = self._separator, ","
        _write(f"{separator}\n{result.json()}")

    def end(self) -> None:
        _write("\n]\n" if self._separator else "]\n")


class _JsonLinesWriter(Writer):
    def write(self, result: Result) -> None:
        _write(f"{result.json()}\n")


class _CsvWriter(Writer):
    r"""CSV with a header by RFC 4180, except that lines end with ``\n`` as all text here."""

    def __init__(self, columns: Sequence[str]) -> None:
        import csv

        self._columns = columns
        self._row = io.StringIO(newline="")
        # with this line end, csv quotes cells that contain \r or \n; it is removed later
        self._csv = csv.writer(self._row, lineterminator="\r\n")

    def begin(self) -> None:
        self._write_row(self._columns)

    def write(self, result: Result) -> None:
        record = _flatten_top(result.record())
        self._write_row([_cell(record.get(column)) for column in self._columns])

    def _write_row(self, cells: Sequence[Any]) -> None:
        self._csv.writerow(cells)
        _write(f"{self._row.getvalue()[:-2]}\n")
        self._row.seek(0)
        self._row.truncate()


def _flatten_top(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with ``label_1``, ``score_1``, ``label_2`` and so on, from its ``top``."""
    top = record.get("top", ())
    ranked = {f"{key}_{rank}": item[key] for rank, item in enumerate(top, 1) for key in item}
    return {**record, **ranked}


def _cell(value: Any) -> Any:
    """Return a value as CSV has it; the csv module writes None as an empty cell."""
    return str(value).lower() if isinstance(value, bool) else value


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
