from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING, Any, get_args

import pytest

from fmx_runtime.command.writers import Form, Recorded, open_output, printable
from fmx_runtime.errors import ImageError, OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMS = get_args(Form)


class Said(Recorded):
    """An answer as it is given."""

    exit_code = 0

    def __init__(self, record: dict[str, Any], *lines: str, error: str | None = None) -> None:
        """What is to be said."""
        self._record, self._lines, self.error = record, lines, error

    def record(self) -> dict[str, Any]:
        """As given."""
        return self._record

    def lines(self) -> Sequence[str]:
        """As given."""
        return self._lines


TOP = [{"label": "Bag", "score": 0.5}, {"label": "Coat", "score": 0.25}]
GOOD = Said({"path": "a.png", **TOP[0], "top": TOP}, "a.png: Bag 50.0%  Coat 25.0%")
BAD = Said({"path": "b.png", "error": "no, none"}, error="no, none")


class Terminal(io.StringIO):
    """What a program takes for a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def written(form: Form, *answers: Said, columns: Sequence[str] = ()) -> str:
    """What is on stdout after all the answers."""
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        with open_output(form, columns) as output:
            for answer in answers:
                output.write(answer)
        return sys.stdout.getvalue()
    finally:
        sys.stdout = before


def write_and_raise(error: type[BaseException]) -> None:
    """An array with one answer, behind which something comes."""
    with open_output("json") as output:
        output.write(GOOD)
        raise error


def test_text() -> None:
    """Lines are written as they are; what failed has none."""
    info = Said({}, "name   baseline", "labels 10")
    assert written("text", GOOD, BAD, info) == (
        "a.png: Bag 50.0%  Coat 25.0%\nname   baseline\nlabels 10\n"
    )


def test_json() -> None:
    """One array, of any length, an element a line."""
    for answers in ((), (GOOD,), (GOOD, BAD, GOOD)):
        text = written("json", *answers)
        assert json.loads(text) == [answer.record() for answer in answers]
        assert len(text.splitlines()) == (len(answers) + 2 if answers else 1)


def test_json_lines() -> None:
    """An object a line."""
    text = written("jsonl", GOOD, BAD)
    assert [json.loads(line) for line in text.splitlines()] == [GOOD.record(), BAD.record()]


def test_csv() -> None:
    """The columns that are asked for, those of further labels too; what is not there is empty."""
    columns = ("path", "label", "score", "error", "label_2", "score_2", "right")
    right = Said({"path": "c.png", "right": True})
    assert written("csv", GOOD, BAD, right, columns=columns) == (
        "path,label,score,error,label_2,score_2,right\n"
        "a.png,Bag,0.5,,Coat,0.25,\n"
        'b.png,,,"no, none",,,\n'
        "c.png,,,,,,true\n"
    )


@pytest.mark.parametrize("name", ["a,b", 'say "a"', "two\nlines", "c\rr", "é", " a ", "=1+1"])
def test_csv_takes_any_name(name: str) -> None:
    """Whatever a file is called, it is read from the table as it is."""
    text = written("csv", Said({"path": name}), Said({"path": "z"}), columns=["path", "label"])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["path", "label"], [name, ""], ["z", ""]]


@pytest.mark.parametrize("form", FORMS)
def test_each_answer_is_out_at_once(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered has left the program before the next answer is asked for."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8"))
    with open_output(form, ["path", "label"]) as output:
        output.write(GOOD)
        assert b"Bag" in out.getvalue()
        sys.stdout.detach()
        monkeypatch.undo()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImageError])
def test_an_interrupted_array_is_whole(
    error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever comes between answers, the array is ended."""
    with pytest.raises(error):
        write_and_raise(error)
    assert json.loads(capsys.readouterr().out) == [GOOD.record()]


def test_a_broken_output_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing can be written, the end is not written either."""
    with pytest.raises(BrokenPipeError):
        write_and_raise(BrokenPipeError)
    assert not capsys.readouterr().out.endswith("]\n")


def test_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed stdout is an error in words."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="standard output is closed"), open_output("text"):
        pass


def test_json_is_unicode_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON is UTF-8 whatever the terminal's encoding, and names that are no text survive."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    with open_output("jsonl") as output:
        output.write(Said({"path": "é\udce9"}))
    assert json.loads(out.getvalue().decode("utf-8")) == {"path": "é\udce9"}
    with open_output("text") as output:
        output.write(Said({}, "é"))


def test_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the newest answer takes the place of the one before; else each has a line."""
    answers = [Said({}, f"camera:0 frame {n}: Bag") for n in range(3)]
    lines = [answer.lines()[0] for answer in answers]
    for stdout, expected in (
        (Terminal(), "".join(f"\r{line}" for line in lines) + "\n"),
        (io.StringIO(), "".join(f"{line}\n" for line in lines)),
    ):
        monkeypatch.setattr(sys, "stdout", stdout)
        with open_output("text", live=True) as output:
            for answer in answers:
                output.write(answer)
        assert stdout.getvalue() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 日本 👟.png", "plain é 日本 👟.png"),
        ("narrow\u202fand wide\u3000spaces", "narrow\u202fand wide\u3000spaces"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("backwards\u202egnp.exe", "backwards\\u202egnp.exe"),
        ("line\u2028separator\x85", "line\\u2028separator\\x85"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """What would break a line or steer a terminal is escaped, and nothing else."""
    assert printable(text) == expected
