from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING, Any, get_args

import pytest

from fmx_runtime.command.results import RecordResult
from fmx_runtime.command.writers import OutputFormat, open_writer
from fmx_runtime.errors import ImageError, OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMS = get_args(OutputFormat)


class GivenResult(RecordResult):
    """A result as it is given."""

    exit_code = 0

    def __init__(self, record: dict[str, Any], *lines: str, error: str | None = None) -> None:
        """Take record, lines and error."""
        self._record, self._lines, self.error = record, lines, error

    def record(self) -> dict[str, Any]:
        """See `Result`."""
        return self._record

    def lines(self) -> Sequence[str]:
        """See `Result`."""
        return self._lines


TOP = [{"label": "Bag", "score": 0.5}, {"label": "Coat", "score": 0.25}]
GOOD = GivenResult({"path": "a.png", **TOP[0], "top": TOP}, "a.png: Bag 50.0%  Coat 25.0%")
BAD = GivenResult({"path": "b.png", "error": "no, none"}, error="no, none")


class Terminal(io.StringIO):
    """A stream that is taken for a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def written(form: OutputFormat, *results: GivenResult, columns: Sequence[str] = ()) -> str:
    """Return what is on stdout after all results."""
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        with open_writer(form, columns) as writer:
            for result in results:
                writer.write(result)
        return sys.stdout.getvalue()
    finally:
        sys.stdout = before


def write_and_raise(error: type[BaseException]) -> None:
    """Write an array with one result, and raise an error after it."""
    with open_writer("json") as writer:
        writer.write(GOOD)
        raise error


def test_text() -> None:
    """Lines are written as they are; errors have none."""
    info = GivenResult({}, "name   baseline", "labels 10")
    assert written("text", GOOD, BAD, info) == (
        "a.png: Bag 50.0%  Coat 25.0%\nname   baseline\nlabels 10\n"
    )


def test_json() -> None:
    """One array of any length, with one element per line."""
    for results in ((), (GOOD,), (GOOD, BAD, GOOD)):
        text = written("json", *results)
        assert json.loads(text) == [result.record() for result in results]
        assert len(text.splitlines()) == (len(results) + 2 if results else 1)


def test_json_lines() -> None:
    """One object per line."""
    text = written("jsonl", GOOD, BAD)
    assert [json.loads(line) for line in text.splitlines()] == [GOOD.record(), BAD.record()]


def test_csv() -> None:
    """The given columns, those of lower ranks too; missing values are empty."""
    columns = ("path", "label", "score", "error", "label_2", "score_2", "right")
    right = GivenResult({"path": "c.png", "right": True})
    assert written("csv", GOOD, BAD, right, columns=columns) == (
        "path,label,score,error,label_2,score_2,right\n"
        "a.png,Bag,0.5,,Coat,0.25,\n"
        'b.png,,,"no, none",,,\n'
        "c.png,,,,,,true\n"
    )


@pytest.mark.parametrize("name", ["a,b", 'say "a"', "two\nlines", "c\rr", "é", " a ", "=1+1"])
def test_csv_with_odd_paths(name: str) -> None:
    """Any path is read back from CSV unchanged."""
    text = written(
        "csv", GivenResult({"path": name}), GivenResult({"path": "z"}), columns=["path", "label"]
    )
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["path", "label"], [name, ""], ["z", ""]]


@pytest.mark.parametrize("form", FORMS)
def test_results_are_flushed(form: OutputFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result has left the process before the next one is computed."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8"))
    with open_writer(form, ["path", "label"]) as writer:
        writer.write(GOOD)
        assert b"Bag" in out.getvalue()
        sys.stdout.detach()
        monkeypatch.undo()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImageError])
def test_interrupted_json_is_complete(
    error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever happens between results, the array is closed."""
    with pytest.raises(error):
        write_and_raise(error)
    assert json.loads(capsys.readouterr().out) == [GOOD.record()]


def test_nothing_is_written_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """If writing fails, the end is not written either."""
    with pytest.raises(BrokenPipeError):
        write_and_raise(BrokenPipeError)
    assert not capsys.readouterr().out.endswith("]\n")


def test_closed_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed stdout is an OutputError."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="standard output is closed"), open_writer("text"):
        pass


def test_json_is_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON is UTF-8 whatever the encoding of the terminal; paths that are not text survive."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    with open_writer("jsonl") as writer:
        writer.write(GivenResult({"path": "é\udce9"}))
    assert json.loads(out.getvalue().decode("utf-8")) == {"path": "é\udce9"}
    with open_writer("text") as writer:
        writer.write(GivenResult({}, "é"))


def test_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the newest result replaces the last one; otherwise each has a line."""
    results = [GivenResult({}, f"camera:0 frame {n}: Bag") for n in range(3)]
    lines = [result.lines()[0] for result in results]
    for stdout, expected in (
        (Terminal(), "".join(f"\r{line}" for line in lines) + "\n"),
        (io.StringIO(), "".join(f"{line}\n" for line in lines)),
    ):
        monkeypatch.setattr(sys, "stdout", stdout)
        with open_writer("text", live=True) as writer:
            for result in results:
                writer.write(result)
        assert stdout.getvalue() == expected
