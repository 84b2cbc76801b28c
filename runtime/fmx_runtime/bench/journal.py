"""What an unfinished benchmark has measured so far, so that it can go on after an interruption."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import DataError, OutputError
from fmx_runtime.support.atomic import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

__all__ = ["Journal"]


class Journal:
    """A file of JSON lines, one for each step that is done, written as soon as it is."""

    def __init__(self, path: Path, conditions: dict[str, Any], *, resume: bool) -> None:
        """Begin a journal, or go on with one.

        Args:
            path: of the file; one that is there is begun anew, but to resume.
            conditions: what must be alike for steps to belong together.
            resume: whether steps that are in the file count as done.

        Raises:
            DataError: there is nothing to resume, or it was measured under other conditions.
            OutputError: the file cannot be written.
        """
        self._path = path
        self._done: dict[str, Any] = {}
        begun = self._read(path) if resume else []
        if resume and not begun:
            raise DataError(f"nothing to resume: there is no '{path}'; begin without --resume")
        conditions = json.loads(json.dumps(conditions))  # lists, as a journal that is read has them
        if begun and begun[0] != conditions:
            differing = [key for key in conditions if begun[0].get(key) != conditions[key]]
            raise DataError(
                f"'{path}' was measured with other {', '.join(differing) or 'conditions'}; "
                "begin anew without --resume"
            )
        self._done = {line["step"]: line["value"] for line in begun[1:]}
        self._file = self._opened([json.dumps(line) for line in begun or [conditions]])

    def once(self, step: str, work: Callable[[], Any]) -> Any:
        """What the step gave when it was done before, or else what ``work`` gives now.

        Args:
            step: its name.
            work: gives what JSON can hold.

        Returns:
            As JSON gives it back.

        Raises:
            OutputError: the file cannot be written; and what ``work`` raises.
        """
        if step not in self._done:
            line = json.dumps({"step": step, "value": work()})
            self._write(line)
            self._done[step] = json.loads(line)["value"]
        done: Any = self._done[step]
        return done

    def close(self, *, finished: bool) -> None:
        """Leave the file, and remove it where all is done."""
        self._file.close()
        if finished:
            self._path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise _refused(self._path, error) from error

    def _opened(self, lines: list[str]) -> TextIO:
        """The file to append to, after ``lines``: a last one that was cut off is not in it."""
        try:
            write(self._path, "".join(line + "\n" for line in lines))
            return self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise _refused(self._path, error) from error

    @staticmethod
    def _read(path: Path) -> list[dict[str, Any]]:
        """The lines that are whole."""
        lines: list[dict[str, Any]] = []
        with contextlib.suppress(OSError, ValueError):  # the last line may be cut off
            for line in path.read_text("utf-8").splitlines():
                lines.append(json.loads(line))  # noqa: PERF401 (those before a bad one are kept)
        return lines


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write to '{path}': {error.strerror or error}; make room there")
